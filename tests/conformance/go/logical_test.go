package conformance

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
)

func TestLogicalCalls(t *testing.T) {
	client := root(t)
	logical := client.Logical()
	mount := mounted(t, client, "kv", map[string]string{"version": "1"})
	if written := must(logical.Write(mount+"/a/b", values{"n": 12345678901234567, "f": 1.5}))(t); written != nil {
		t.Errorf("an answer without a body: %+v", written)
	}
	must(logical.WriteBytes(mount+"/c", []byte(`{"raw": true}`)))(t)
	read := must(logical.Read(mount + "/a/b"))(t)
	equal(t, "large number", read.Data["n"].(json.Number), json.Number("12345678901234567"))
	if read.RequestID == "" {
		t.Error("no request id")
	}
	equal(t, "raw body", must(logical.Read(mount + "/c"))(t).Data["raw"], any(true))
	equal(t, "list", len(must(logical.List(mount))(t).Data["keys"].([]any)), 2)
	if nothing := must(logical.List(mount + "/none"))(t); nothing != nil {
		t.Errorf("an empty list: %+v", nothing)
	}
	if nothing := must(logical.Read(mount + "/none"))(t); nothing != nil {
		t.Errorf("nothing: %+v", nothing)
	}
	must(logical.Delete(mount + "/c"))(t)
	raw := must(logical.ReadRaw(mount + "/a/b"))(t)
	body := must(io.ReadAll(raw.Body))(t)
	check(t, raw.Body.Close())
	equal(t, "content type", raw.Header.Get("Content-Type"), "application/json")
	if !strings.Contains(string(body), "12345678901234567") {
		t.Errorf("raw: %s", body)
	}
	_, err := logical.Read("no/such/mount")
	if err != nil {
		t.Errorf("a path that leads nowhere reads as nothing: %v", err)
	}
	_, err = logical.Write("no/such/mount", values{"a": "b"})
	refused(t, err, 404, "no handler for route")
	_, err = logical.WriteBytes(mount+"/c", []byte(`{"raw": `))
	refused(t, err, 400, "error parsing JSON")
	_, err = logical.JSONMergePatch(now, mount+"/c", values{"a": "b"})
	refused(t, err, 405, "unsupported operation")
	deleted := must(logical.DeleteRaw(mount + "/a/b"))(t)
	equal(t, "status of a deletion", deleted.StatusCode, http.StatusNoContent)
}

func TestWhoHasNoRightsIsDenied(t *testing.T) {
	client := root(t)
	mount := mounted(t, client, "kv", map[string]string{"version": "2"})
	for _, other := range []*api.Client{fresh(t, client, "default"), holder(t, "no-such-token"), anyone(t)} {
		_, err := other.Logical().Read(mount + "/data/a")
		refused(t, err, 403, "permission denied")
		_, err = other.Logical().List(mount + "/metadata")
		refused(t, err, 403, "permission denied")
		_, err = other.KVv2(mount).Put(now, "a", values{})
		refused(t, err, 403, "permission denied")
	}
}

func TestWrapping(t *testing.T) {
	client := root(t)
	mount := mounted(t, client, "kv", map[string]string{"version": "1"})
	check(t, client.KVv1(mount).Put(now, "a", values{"password": "a secret"}))
	wrapping := must(client.Clone())(t)
	wrapping.SetToken(client.Token())
	wrapping.SetWrappingLookupFunc(func(operation, path string) string {
		if operation == "GET" || path == "auth/token/create" {
			return "90s"
		}
		return ""
	})
	wrap := func() *api.SecretWrapInfo { return must(wrapping.Logical().Read(mount + "/a"))(t).WrapInfo }

	info := wrap()
	equal(t, "time to live", info.TTL, 90)
	equal(t, "creation path", info.CreationPath, mount+"/a")
	if info.Token == "" || info.Accessor == "" || info.CreationTime.IsZero() {
		t.Errorf("wrapping: %+v", info)
	}
	looked := must(anyone(t).Logical().Write("sys/wrapping/lookup", values{"token": info.Token}))(t)
	equal(t, "path at the lookup", looked.Data["creation_path"], any(mount+"/a"))
	equal(t, "by its holder", must(client.Logical().Unwrap(info.Token))(t).Data["password"], any("a secret"))
	_, err := client.Logical().Unwrap(info.Token)
	refused(t, err, 400, "wrapping token is not valid or does not exist")
	_, err = anyone(t).Logical().Write("sys/wrapping/lookup", values{"token": info.Token})
	refused(t, err, 400, "wrapping token is not valid or does not exist")
	equal(t, "by itself", must(holder(t, wrap().Token).Logical().Unwrap(""))(t).Data["password"], any("a secret"))
	again := must(client.Logical().Write("sys/wrapping/rewrap", values{"token": wrap().Token}))(t).WrapInfo
	equal(t, "rewrapped", must(client.Logical().Unwrap(again.Token))(t).Data["password"], any("a secret"))

	made := must(wrapping.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"default"}, TTL: "1m"}))(t)
	auth := must(client.Logical().Unwrap(made.WrapInfo.Token))(t).Auth
	equal(t, "accessor of what is wrapped", auth.Accessor, made.WrapInfo.WrappedAccessor)
	check(t, client.Auth().Token().RevokeTree(auth.ClientToken))
	_, err = client.Logical().Unwrap("no-such-token")
	refused(t, err, 400, "wrapping token is not valid or does not exist")
	own := must(client.Logical().WriteWithContext(now, "sys/wrapping/wrap", values{"a": "b"}))(t)
	if own.WrapInfo == nil || must(client.Logical().Unwrap(own.WrapInfo.Token))(t).Data["a"] != "b" {
		t.Errorf("wrapped by the client's own default: %+v", own)
	}
}

func TestLeases(t *testing.T) {
	client := root(t)
	sys := client.Sys()
	_, err := sys.Lookup("no/such/lease")
	refused(t, err, 400, "invalid lease")
	_, err = sys.Renew("no/such/lease", 60)
	refused(t, err, 400, "lease not found")
	check(t, sys.Revoke("no/such/lease"))
	check(t, sys.RevokePrefix("no/such"))
	check(t, sys.RevokeForce("no/such"))
	check(t, sys.RevokeWithOptions(&api.RevokeOptions{LeaseID: "no/such/lease", Sync: true}))
	check(t, sys.RevokeWithOptions(&api.RevokeOptions{LeaseID: "no/such", Prefix: true, Sync: true}))
	check(t, sys.RevokeWithOptions(&api.RevokeOptions{LeaseID: "no/such", Prefix: true, Force: true}))

	method := enabled(t, client, "userpass")
	must(client.Logical().Write("auth/"+method+"/users/me", values{"password": "a password"}))(t)
	login := must(anyone(t).Logical().Write("auth/"+method+"/login/me", values{"password": "a password"}))(t)
	if keys := must(client.Logical().List("sys/leases/lookup/auth/" + method + "/login"))(t); keys == nil {
		t.Log("logins are not listed as leases")
	}
	check(t, sys.RevokePrefix("auth/"+method+"/login"))
	_, err = client.Auth().Token().Lookup(login.Auth.ClientToken)
	refused(t, err, 403, "bad token")
}

func TestErrorsAreTyped(t *testing.T) {
	client := root(t)
	_, err := client.Logical().Read("sys/policies/acl/no/such")
	check(t, err)
	_, err = client.Logical().Read("sys/seal")
	var answer *api.ResponseError
	if !errors.As(err, &answer) || answer.HTTPMethod != "GET" || answer.RawError {
		t.Errorf("error: %#v", err)
	}
	refused(t, err, 405, "unsupported operation")
}
