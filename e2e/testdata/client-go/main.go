// Command client-go drives a platform with aws-sdk-go-v2, as programs written for Lambda
// use it: client-go ENDPOINT ZIP.
package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

func main() {
	log.SetFlags(log.Lshortfile)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	zip, err := os.ReadFile(os.Args[2])
	check(err)
	id := os.Getenv("AWS_ACCESS_KEY_ID")
	c := client(id, os.Getenv("AWS_SECRET_ACCESS_KEY"))
	prepare(ctx, c, zip)
	invoke(ctx, c)
	configure(ctx, c)
	listAndDelete(ctx, c, zip)
	refused(ctx, client("NOBODY", "x"), "UnrecognizedClientException")
	refused(ctx, client(id, "x"), "InvalidSignatureException")
	fmt.Println("content")
}

func client(id, secret string) *lambda.Client {
	return lambda.New(lambda.Options{
		BaseEndpoint: aws.String(os.Args[1]), Region: "eu-west-1", RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret}, nil
		}),
	})
}

func create(ctx context.Context, c *lambda.Client, name string, zip []byte) (*lambda.CreateFunctionOutput, error) {
	return c.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: &name, Runtime: types.RuntimeNodejs20x, Handler: aws.String("index.handler"), MemorySize: aws.Int32(256),
		Role: aws.String("arn:aws:iam::000000000000:role/any"), Code: &types.FunctionCode{ZipFile: zip}, Timeout: aws.Int32(10),
	})
}

func prepare(ctx context.Context, c *lambda.Client, zip []byte) {
	made, err := create(ctx, c, "sdk", zip)
	check(err)
	want(made.State == types.StatePending, "state", made.State)
	get := &lambda.GetFunctionInput{FunctionName: aws.String("sdk")}
	check(lambda.NewFunctionActiveV2Waiter(c, func(o *lambda.FunctionActiveV2WaiterOptions) { o.MinDelay = time.Second }).Wait(ctx, get, 30*time.Second))
	_, err = c.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{
		FunctionName: aws.String("sdk"), Environment: &types.Environment{Variables: map[string]string{"STEP": "2"}}})
	check(err)
	_, err = c.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: aws.String("sdk"), ZipFile: zip})
	check(err)
	check(lambda.NewFunctionUpdatedV2Waiter(c, func(o *lambda.FunctionUpdatedV2WaiterOptions) { o.MinDelay = time.Second }).Wait(ctx, get, 30*time.Second))
}

func invoke(ctx context.Context, c *lambda.Client) {
	call := func(in lambda.InvokeInput) *lambda.InvokeOutput {
		in.FunctionName = aws.String("sdk")
		out, err := c.Invoke(ctx, &in)
		check(err)
		return out
	}
	out := call(lambda.InvokeInput{Payload: []byte(`{"a":1}`), LogType: types.LogTypeTail,
		ClientContext: aws.String(base64.StdEncoding.EncodeToString([]byte(`{"custom":{"k":"v"}}`)))})
	want(string(out.Payload) == `{"event":{"a":1},"custom":{"k":"v"},"step":"2"}`, "answer", string(out.Payload))
	tail, err := base64.StdEncoding.DecodeString(*out.LogResult)
	check(err)
	want(strings.Contains(string(tail), "seen"), "log", string(tail))
	out = call(lambda.InvokeInput{InvocationType: types.InvocationTypeDryRun})
	want(out.StatusCode == 204, "dry run", out.StatusCode)
	out = call(lambda.InvokeInput{Payload: []byte(`{"fail":true}`)})
	want(aws.ToString(out.FunctionError) == "Unhandled" && strings.Contains(string(out.Payload), "RangeError"), "failure", string(out.Payload))
}

// configure sets what happens to events, and provisions a version.
func configure(ctx context.Context, c *lambda.Client) {
	name := aws.String("sdk")
	_, err := c.PutFunctionEventInvokeConfig(ctx, &lambda.PutFunctionEventInvokeConfigInput{FunctionName: name, MaximumRetryAttempts: aws.Int32(1)})
	check(err)
	rule, err := c.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: name})
	check(err)
	want(aws.ToInt32(rule.MaximumRetryAttempts) == 1, "event invoke config", rule)
	_, err = c.DeleteFunctionEventInvokeConfig(ctx, &lambda.DeleteFunctionEventInvokeConfigInput{FunctionName: name})
	check(err)
	version, err := c.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: name})
	check(err)
	put, err := c.PutProvisionedConcurrencyConfig(ctx, &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: name, Qualifier: version.Version, ProvisionedConcurrentExecutions: aws.Int32(1)})
	check(err)
	want(put.Status == types.ProvisionedConcurrencyStatusEnumInProgress, "provisioned", put.Status)
	get := &lambda.GetProvisionedConcurrencyConfigInput{FunctionName: name, Qualifier: version.Version}
	state, err := c.GetProvisionedConcurrencyConfig(ctx, get)
	for i := 0; i < 100 && err == nil && state.Status != types.ProvisionedConcurrencyStatusEnumReady; i++ {
		time.Sleep(100 * time.Millisecond)
		state, err = c.GetProvisionedConcurrencyConfig(ctx, get)
	}
	check(err)
	want(aws.ToInt32(state.AvailableProvisionedConcurrentExecutions) == 1, "provisioned", state)
	_, err = c.DeleteProvisionedConcurrencyConfig(ctx, &lambda.DeleteProvisionedConcurrencyConfigInput{FunctionName: name, Qualifier: version.Version})
	check(err)
	var gone *types.ProvisionedConcurrencyConfigNotFoundException
	_, err = c.GetProvisionedConcurrencyConfig(ctx, get)
	want(errors.As(err, &gone), "provisioned still", err)
}

func listAndDelete(ctx context.Context, c *lambda.Client, zip []byte) {
	_, err := create(ctx, c, "sdk2", zip)
	check(err)
	var names []string
	for pages := lambda.NewListFunctionsPaginator(c, &lambda.ListFunctionsInput{MaxItems: aws.Int32(1)}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		check(err)
		for _, f := range page.Functions {
			names = append(names, *f.FunctionName)
		}
	}
	want(strings.Join(names, " ") == "sdk sdk2", "list", names)
	var conflict *types.ResourceConflictException
	_, err = create(ctx, c, "sdk2", zip)
	want(errors.As(err, &conflict), "made twice", err)
	for _, name := range names {
		_, err := c.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &name})
		check(err)
	}
	var gone *types.ResourceNotFoundException
	_, err = c.Invoke(ctx, &lambda.InvokeInput{FunctionName: aws.String("sdk")})
	want(errors.As(err, &gone), "invoked what is gone", err)
}

func refused(ctx context.Context, c *lambda.Client, code string) {
	_, err := c.ListFunctions(ctx, &lambda.ListFunctionsInput{})
	var e smithy.APIError
	want(errors.As(err, &e) && e.ErrorCode() == code, code, err)
}

func check(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}

func want(ok bool, what string, got any) {
	if !ok {
		log.Output(2, fmt.Sprint(what, ": ", got))
		os.Exit(1)
	}
}
