package conformance

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

type values = map[string]interface{}

func TestKVv1(t *testing.T) {
	client := root(t)
	kv := client.KVv1(mounted(t, client, "kv", map[string]string{"version": "1"}))
	check(t, kv.Put(now, "app/db", values{"password": "a", "ttl": "1h", "port": 5432}))
	read := must(kv.Get(now, "app/db"))(t)
	equal(t, "password", read.Data["password"], any("a"))
	equal(t, "lease duration", read.Raw.LeaseDuration, 3600)
	equal(t, "renewable", read.Raw.Renewable, false)
	check(t, kv.Delete(now, "app/db"))
	if _, err := kv.Get(now, "app/db"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("a deleted secret: %v", err)
	}
}

func TestKVv2Versions(t *testing.T) {
	client := root(t)
	kv := client.KVv2(mounted(t, client, "kv-v2", nil))
	first := must(kv.Put(now, "app", values{"a": "1"}, api.WithCheckAndSet(0)))(t)
	equal(t, "version", first.VersionMetadata.Version, 1)
	if time.Since(first.VersionMetadata.CreatedTime) > time.Minute || !first.VersionMetadata.DeletionTime.IsZero() {
		t.Errorf("times: %+v", first.VersionMetadata)
	}
	_, err := kv.Put(now, "app", values{"a": "x"}, api.WithCheckAndSet(0))
	refused(t, err, 400, "check-and-set parameter did not match the current version")
	must(kv.Put(now, "app", values{"a": "2", "b": values{"c": true}}))(t)

	latest := must(kv.Get(now, "app"))(t)
	equal(t, "newest value", latest.Data["a"], any("2"))
	equal(t, "newest version", latest.VersionMetadata.Version, 2)
	equal(t, "first value", must(kv.GetVersion(now, "app", 1))(t).Data["a"], any("1"))
	list := must(kv.GetVersionsAsList(now, "app"))(t)
	equal(t, "number of versions", len(list), 2)
	equal(t, "number of the second", list[1].Version, 2)
	equal(t, "version of the rollback", must(kv.Rollback(now, "app", 1))(t).VersionMetadata.Version, 3)
	equal(t, "value after the rollback", must(kv.Get(now, "app"))(t).Data["a"], any("1"))

	check(t, kv.Delete(now, "app"))
	deleted := must(kv.Get(now, "app"))(t)
	if deleted.Data != nil || deleted.VersionMetadata.DeletionTime.IsZero() {
		t.Errorf("a deleted version is read as %+v", deleted)
	}
	check(t, kv.Undelete(now, "app", []int{3}))
	equal(t, "undeleted", must(kv.Get(now, "app"))(t).Data["a"], any("1"))
	check(t, kv.DeleteVersions(now, "app", []int{1, 2}))
	check(t, kv.Destroy(now, "app", []int{1}))
	equal(t, "destroyed", must(kv.GetVersion(now, "app", 1))(t).VersionMetadata.Destroyed, true)
	for _, missing := range []func() (*api.KVSecret, error){
		func() (*api.KVSecret, error) { return kv.Get(now, "nothing") },
		func() (*api.KVSecret, error) { return kv.GetVersion(now, "app", 9) },
	} {
		if _, err := missing(); !errors.Is(err, api.ErrSecretNotFound) {
			t.Errorf("what is not there: %v", err)
		}
	}
}

func TestKVv2Patch(t *testing.T) {
	client := root(t)
	kv := client.KVv2(mounted(t, client, "kv", map[string]string{"version": "2"}))
	must(kv.Put(now, "app", values{"a": "1", "b": "2"}))(t)
	for _, method := range []string{api.KVMergeMethodPatch, api.KVMergeMethodReadWrite} {
		patched := must(kv.Patch(now, "app", values{"b": method, "n": 12345678901234567}, api.WithMergeMethod(method)))(t)
		read := must(kv.Get(now, "app"))(t)
		equal(t, "version by "+method, read.VersionMetadata.Version, patched.VersionMetadata.Version)
		equal(t, "kept by "+method, read.Data["a"], any("1"))
		equal(t, "changed by "+method, read.Data["b"], any(method))
	}
	_, err := kv.Patch(now, "app", values{"b": nil}, api.WithMergeMethod(api.KVMergeMethodPatch), api.WithCheckAndSet(1))
	refused(t, err, 400, "check-and-set parameter did not match the current version")
	must(kv.Patch(now, "app", values{"b": nil}))(t)
	if left := must(kv.Get(now, "app"))(t).Data; len(left) != 2 {
		t.Errorf("null should take a member away: %v", left)
	}
	_, err = kv.Patch(now, "nothing", values{"a": "1"})
	if !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("a patch of nothing: %v", err)
	}

	name := policy(t, client, `path "`+named(t)+`/*" { capabilities = ["create", "read", "update"] }`)
	own := fresh(t, client, name).KVv2(named(t))
	_, err = own.Patch(now, "app", values{"own": true})
	refused(t, err, 403, "permission denied")
	must(own.Patch(now, "app", values{"own": true}, api.WithMergeMethod(api.KVMergeMethodReadWrite)))(t)
}

func TestKVv2Metadata(t *testing.T) {
	client := root(t)
	kv := client.KVv2(mounted(t, client, "kv", map[string]string{"version": "2"}))
	settings := api.KVMetadataPutInput{
		CASRequired: true, CustomMetadata: values{"owner": "till", "team": "shop"}, DeleteVersionAfter: 26 * time.Hour, MaxVersions: 3,
	}
	check(t, kv.PutMetadata(now, "app", settings))
	metadata := must(kv.GetMetadata(now, "app"))(t)
	equal(t, "check-and-set", metadata.CASRequired, true)
	equal(t, "owner", metadata.CustomMetadata["owner"], any("till"))
	equal(t, "delete after", metadata.DeleteVersionAfter, 26*time.Hour)
	equal(t, "versions kept", metadata.MaxVersions, 3)
	equal(t, "current version", metadata.CurrentVersion, 0)
	_, err := kv.Put(now, "app", values{"a": "1"})
	refused(t, err, 400, "check-and-set parameter required for this call")
	written := must(kv.Put(now, "app", values{"a": "1"}, api.WithCheckAndSet(0)))(t)
	equal(t, "metadata beside a write", written.CustomMetadata["team"], any("shop"))
	if due := time.Until(written.VersionMetadata.DeletionTime); due < 25*time.Hour {
		t.Errorf("the version should end in a day: %v", due)
	}

	off, most, never := false, 7, time.Duration(0)
	patch := api.KVMetadataPatchInput{CASRequired: &off, MaxVersions: &most, DeleteVersionAfter: &never, CustomMetadata: values{"team": nil, "x": "y"}}
	check(t, kv.PatchMetadata(now, "app", patch))
	metadata = must(kv.GetMetadata(now, "app"))(t)
	equal(t, "check-and-set after the patch", metadata.CASRequired, false)
	equal(t, "versions kept after the patch", metadata.MaxVersions, 7)
	equal(t, "delete after the patch", metadata.DeleteVersionAfter, 0)
	equal(t, "custom metadata after the patch", len(metadata.CustomMetadata), 2)
	equal(t, "versions", metadata.Versions["1"].Version, 1)
	check(t, kv.PutMetadata(now, "app", api.KVMetadataPutInput{}))
	check(t, kv.DeleteMetadata(now, "app"))
	if _, err := kv.GetMetadata(now, "app"); !errors.Is(err, api.ErrSecretNotFound) {
		t.Errorf("deleted metadata: %v", err)
	}
}

func TestKVv2AtAPathOfVersion1(t *testing.T) {
	client := root(t)
	mount := mounted(t, client, "kv", map[string]string{"version": "2"})
	read := must(client.Logical().Read(mount + "/app"))(t)
	if read == nil || len(read.Warnings) == 0 {
		t.Errorf("the wrong path should be answered with a warning: %+v", read)
	}
	answer, err := client.Logical().ReadRaw(mount + "/app")
	if answer == nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("status of the wrong path: %v, %v", answer, err)
	}
}
