// Package conformance drives a real server with the unmodified Go client, as a program written for Vault does.
//
// Rules of this package:
//   - The client reads VAULT_ADDR, VAULT_CACERT and VAULT_TOKEN as always; the server is another process, reached over TLS.
//   - A test mounts what it needs under a name of its own and takes it away again; tests of this package run one after another.
//   - What the server cannot do (other companies' paid features, plugins) must come back as an error that says so: never a decode error.
package conformance

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

// anyone is a client without a token.
func anyone(t *testing.T) *api.Client {
	t.Helper()
	client := must(api.NewClient(api.DefaultConfig()))(t)
	client.ClearToken()
	return client
}

// root is a client with the superuser's token.
func root(t *testing.T) *api.Client {
	t.Helper()
	return holder(t, os.Getenv("VAULT_TOKEN"))
}

// holder is a client with a token.
func holder(t *testing.T, token string) *api.Client {
	t.Helper()
	client := anyone(t)
	client.SetToken(token)
	return client
}

// fresh is a token with these policies, for a client of its own.
func fresh(t *testing.T, client *api.Client, policies ...string) *api.Client {
	t.Helper()
	made := must(client.Auth().Token().Create(&api.TokenCreateRequest{Policies: policies, TTL: "1h"}))(t)
	t.Cleanup(func() { _ = client.Auth().Token().RevokeTree(made.Auth.ClientToken) })
	return holder(t, made.Auth.ClientToken)
}

// mounted is a new mount at a path of the test's own.
func mounted(t *testing.T, client *api.Client, kind string, options map[string]string) string {
	t.Helper()
	path := named(t)
	check(t, client.Sys().Mount(path, &api.MountInput{Type: kind, Options: options}))
	t.Cleanup(func() { check(t, client.Sys().Unmount(path)) })
	return path
}

// enabled is a new auth method at a path of the test's own.
func enabled(t *testing.T, client *api.Client, kind string) string {
	t.Helper()
	path := named(t)
	check(t, client.Sys().EnableAuthWithOptions(path, &api.EnableAuthOptions{Type: kind}))
	t.Cleanup(func() { check(t, client.Sys().DisableAuth(path)) })
	return path
}

// policy is a new policy with these rules, named after the test.
func policy(t *testing.T, client *api.Client, rules string) string {
	t.Helper()
	name := named(t)
	check(t, client.Sys().PutPolicy(name, rules))
	t.Cleanup(func() { check(t, client.Sys().DeletePolicy(name)) })
	return name
}

// named is a name that no other test uses.
func named(t *testing.T) string {
	return "go-" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
}

// must is a value whose error ends the test.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return value
	}
}

// check ends the test with an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares, and goes on.
func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// contains looks for a member of a list, and goes on.
func contains[T comparable](t *testing.T, what string, list []T, member T) {
	t.Helper()
	for _, each := range list {
		if each == member {
			return
		}
	}
	t.Errorf("%s: %v is not in %v", what, member, list)
}

// refused wants an answer of the server with this status and text: not a transport error, not one of decoding.
func refused(t *testing.T, err error, status int, text string) {
	t.Helper()
	var answer *api.ResponseError
	if !errors.As(err, &answer) {
		t.Errorf("want status %d with %q, got %v", status, text, err)
		return
	}
	equal(t, "status of "+answer.URL, answer.StatusCode, status)
	if !strings.Contains(strings.Join(answer.Errors, "\n"), text) {
		t.Errorf("%s: %q is not in %q", answer.URL, text, answer.Errors)
	}
}

var now = context.Background()
