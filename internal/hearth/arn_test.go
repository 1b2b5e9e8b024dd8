package hearth

import (
	"strings"
	"testing"
)

func TestParseFunctionRef(t *testing.T) {
	full := FunctionRef{Name: "hello", Region: "eu-west-1", Account: "123456789012"}
	with := func(r FunctionRef, q string) FunctionRef { r.Qualifier = q; return r }
	for in, want := range map[string]FunctionRef{
		"hello":                            {Name: "hello"},
		"hello:$LATEST":                    {Name: "hello", Qualifier: Latest},
		"hello:live":                       {Name: "hello", Qualifier: "live"},
		"hello:7":                          {Name: "hello", Qualifier: "7"},
		"123456789012:function:hello":      {Name: "hello", Account: "123456789012"},
		"123456789012:function:hello:live": {Name: "hello", Account: "123456789012", Qualifier: "live"},
		"eu-west-1:123456789012:hello":     full,
		"function:hello":                   {Name: "hello"},
		"function":                         {Name: "function"},
		"123456789012":                     {Name: "123456789012"},
		"us-east-1":                        {Name: "us-east-1"},
		FunctionARN("eu-west-1", "123456789012", "hello", ""):                      full,
		FunctionARN("eu-west-1", "123456789012", "hello", "live"):                  with(full, "live"),
		FunctionARN("eu-west-1", "123456789012", "hello", "$LATEST"):               with(full, Latest),
		"arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:function:alias": {Name: "function", Qualifier: "alias", Region: "us-gov-west-1", Account: "123456789012"},
	} {
		got, err := ParseFunctionRef(in)
		if err != nil || got != want {
			t.Errorf("ParseFunctionRef(%q) = %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ":", "a b", "hello:", ":live", "hello:a:b", "hello:$latest", "häl", "a/b", "a.b", "hello\n",
		"arn:aws:lambda:eu-west-1:123456789012:function", "arn:aws:lambda:eu-west-1:12:function:f",
		"arn:aws:s3:::bucket", "arn:aws:lambda:nowhere:123456789012:function:f", "arn:azure:lambda:eu-west-1:123456789012:function:f",
		"arn:aws:lambda:eu-west-1:123456789012:layer:f", strings.Repeat("a", 65), "f:" + strings.Repeat("q", 129),
		strings.Repeat("a", 171),
	} {
		if got, err := ParseFunctionRef(in); err == nil || CodeOf(err) != ErrInvalid {
			t.Errorf("ParseFunctionRef(%q) = %+v, %v; want an invalid error", in, got, err)
		}
	}
}

// FuzzParseFunctionRef holds every accepted reference to the rules for its parts and
// to the round trip through its own ARN.
func FuzzParseFunctionRef(f *testing.F) {
	for _, s := range []string{"hello", "hello:1", "123456789012:function:f:live", "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST", "function:function:function", "us-east-1:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseFunctionRef(s)
		if err != nil {
			if CodeOf(err) != ErrInvalid {
				t.Fatalf("%q: error %v is not for the caller", s, err)
			}
			return
		}
		if ValidateName(ref.Name) != nil || ref.Qualifier != "" && ValidateQualifier(ref.Qualifier) != nil {
			t.Fatalf("%q gave %+v, whose parts are not valid", s, ref)
		}
		if !strings.Contains(s, ref.Name) || !strings.HasSuffix(s, ref.Qualifier) {
			t.Fatalf("%q gave %+v, which is not in it", s, ref)
		}
		arn := FunctionARN(DefaultRegion, DefaultAccount, ref.Name, ref.Qualifier)
		again, err := ParseFunctionRef(arn)
		if len(arn) <= maxRefLen && (err != nil || again.Name != ref.Name || again.Qualifier != ref.Qualifier) {
			t.Fatalf("%q gave %+v, but its ARN %q gives %+v, %v", s, ref, arn, again, err)
		}
	})
}
