package project

import (
	"slices"
	"testing"

	"hearth/internal/hearth"
)

// What only a deployment to AWS can make of a serverless.yml is told, and is no mistake.
func TestOfCloudFormation(t *testing.T) {
	p, err := ParseServerless("serverless.yml", []byte(`service: s
provider:
  name: aws
  runtime: nodejs20.x
  environment:
    TABLE: !Ref Orders
    TABLE_ARN: {"Fn::GetAtt": [Orders, Arn]}
    NAME: plain
functions:
  f:
    handler: index.x
    environment:
      QUEUE:
        Ref: Queue
      HOST: !Sub "${AWS::Region}.example.org"
    url:
      invokeMode: RESPONSE_STREAM
      authorizer: aws_iam
      cors: true
  g:
    handler: index.x
    url: true
`), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if env := *p.Functions[0].Patch.Env; len(env) != 1 || env["NAME"] != "plain" {
		t.Errorf("environment: %v", env)
	}
	var ignored []string
	for _, i := range p.Ignored {
		ignored = append(ignored, i.Key)
	}
	want := []string{"provider.environment.TABLE", "provider.environment.TABLE_ARN", "functions.f.environment.QUEUE",
		"functions.f.environment.HOST", "functions.f.url.authorizer", "functions.f.url.cors"}
	if !slices.Equal(ignored, want) {
		t.Errorf("ignored %v, want %v", ignored, want)
	}
	for _, f := range p.Functions {
		if !slices.Contains(f.Notes, "url: every function has one, at /fn/NAME/") {
			t.Errorf("%s: notes %q", f.Name, f.Notes)
		}
	}
}

// The provider's tags are every function's, but for those that it has itself.
func TestTagsOfTheProvider(t *testing.T) {
	p, err := ParseServerless("serverless.yml", []byte(`service: s
provider: {name: aws, runtime: nodejs20.x, tags: {team: a, "hearth:max-concurrency": "4"}}
functions:
  f: {handler: index.x}
  g: {handler: index.x, tags: {team: b, "hearth:execution-model": exclusive}}
`), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	f, g := p.Functions[0].Config(), p.Functions[1].Config()
	if f.Model != hearth.Concurrent || f.MaxConcurrency != 4 || p.Functions[0].Tags["team"] != "a" {
		t.Errorf("f: %+v, %v", f, p.Functions[0].Tags)
	}
	if g.Model != hearth.Exclusive || p.Functions[1].Tags["team"] != "b" || len(p.Ignored) > 0 {
		t.Errorf("g: %+v, %v; ignored %v", g, p.Functions[1].Tags, p.Ignored)
	}
}
