package conformance

import (
	"bytes"
	"encoding/base64"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

// One story, from a server that was just installed: it takes a server of its own, whose address alone is in the environment.
func TestLifecycle(t *testing.T) {
	client := anyone(t)
	sys := client.Sys()
	equal(t, "initialised", must(sys.InitStatus())(t), false)
	equal(t, "health before", must(sys.Health())(t).Initialized, false)
	made := must(sys.Init(&api.InitRequest{SecretShares: 3, SecretThreshold: 2}))(t)
	if len(made.Keys) != 3 || len(made.KeysB64) != 3 || made.RootToken == "" {
		t.Fatalf("%d keys, %d keys in base64", len(made.Keys), len(made.KeysB64))
	}
	_, err := sys.Init(&api.InitRequest{SecretShares: 3, SecretThreshold: 2})
	refused(t, err, 400, "already initialized")
	sealed := must(sys.SealStatus())(t)
	equal(t, "initialised after", sealed.Initialized, true)
	equal(t, "sealed", sealed.Sealed, true)
	client.SetToken(made.RootToken)

	keys := unsealing(t, sys, made)
	resealed(t, client, keys)
	keys = rekeyed(t, client, keys)
	keys = rekeyedAndVerified(t, client, keys)
	rootMade(t, client, keys)
	restored(t, client, keys)
}

// unsealing gives one share in hex, starts anew, and then gives two.
func unsealing(t *testing.T, sys *api.Sys, made *api.InitResponse) []string {
	status := must(sys.Unseal(made.Keys[0]))(t)
	equal(t, "progress", status.Progress, 1)
	if status.Nonce == "" {
		t.Error("no nonce")
	}
	equal(t, "progress after the reset", must(sys.ResetUnsealProcess())(t).Progress, 0)
	_, err := sys.Unseal("not a key")
	refused(t, err, 400, "")
	must(sys.Unseal(made.Keys[1]))(t)
	opened := must(sys.UnsealWithOptions(&api.UnsealOpts{Key: made.KeysB64[2]}))(t)
	equal(t, "sealed", opened.Sealed, false)
	return made.KeysB64
}

// resealed seals; a client that asks meanwhile gets its answer once the server is open again.
func resealed(t *testing.T, client *api.Client, keys []string) {
	check(t, client.Sys().Seal())
	equal(t, "health of a sealed server", must(client.Sys().Health())(t).Sealed, true)
	impatient := must(client.Clone())(t)
	impatient.SetToken(client.Token())
	impatient.SetMaxRetries(0)
	_, err := impatient.Logical().Read("auth/token/lookup-self")
	refused(t, err, 503, "sealed")

	patient := must(client.Clone())(t)
	patient.SetToken(client.Token())
	patient.SetMaxRetries(20)
	patient.SetMinRetryWait(50 * time.Millisecond)
	patient.SetMaxRetryWait(200 * time.Millisecond)
	answered := make(chan error)
	go func() {
		_, err := patient.Auth().Token().LookupSelf()
		answered <- err
	}()
	must(client.Sys().Unseal(keys[0]))(t)
	must(client.Sys().Unseal(keys[1]))(t)
	check(t, <-answered)
}

func rekeyed(t *testing.T, client *api.Client, keys []string) []string {
	sys := client.Sys()
	equal(t, "rekey at first", must(sys.RekeyStatus())(t).Started, false)
	must(sys.RekeyInit(&api.RekeyInitRequest{SecretShares: 1, SecretThreshold: 1}))(t)
	check(t, sys.RekeyCancel())
	started := must(sys.RekeyInit(&api.RekeyInitRequest{SecretShares: 3, SecretThreshold: 2}))(t)
	equal(t, "required", started.Required, 2)
	equal(t, "shares to come", started.N, 3)
	refused(t, sys.RekeyCancelWithNonce("other"), 400, "")
	first := must(sys.RekeyUpdate(keys[0], started.Nonce))(t)
	equal(t, "complete", first.Complete, false)
	equal(t, "progress", must(sys.RekeyStatus())(t).Progress, 1)
	last := must(sys.RekeyUpdate(keys[1], started.Nonce))(t)
	equal(t, "complete at last", last.Complete, true)
	if len(last.KeysB64) != 3 {
		t.Fatalf("%d new shares", len(last.KeysB64))
	}
	return last.KeysB64
}

func rekeyedAndVerified(t *testing.T, client *api.Client, keys []string) []string {
	sys := client.Sys()
	started := must(sys.RekeyInit(&api.RekeyInitRequest{SecretShares: 2, SecretThreshold: 2, RequireVerification: true}))(t)
	equal(t, "verification", started.VerificationRequired, true)
	must(sys.RekeyUpdate(keys[0], started.Nonce))(t)
	done := must(sys.RekeyUpdate(keys[1], started.Nonce))(t)
	verify := must(sys.RekeyVerificationStatus())(t)
	equal(t, "nonce of the verification", verify.Nonce, done.VerificationNonce)
	equal(t, "threshold of the verification", verify.T, 2)
	must(sys.RekeyVerificationUpdate(done.KeysB64[0], done.VerificationNonce))(t)
	check(t, sys.RekeyVerificationCancel())
	nonce := must(sys.RekeyVerificationStatus())(t).Nonce
	must(sys.RekeyVerificationUpdate(done.KeysB64[0], nonce))(t)
	equal(t, "verified", must(sys.RekeyVerificationUpdate(done.KeysB64[1], nonce))(t).Complete, true)
	return done.KeysB64
}

func rootMade(t *testing.T, client *api.Client, keys []string) {
	sys := client.Sys()
	equal(t, "generation at first", must(sys.GenerateRootStatus())(t).Started, false)
	started := must(sys.GenerateRootInit("", ""))(t)
	equal(t, "length of the one-time pad", len(started.OTP), started.OTPLength)
	check(t, sys.GenerateRootCancel())
	started = must(sys.GenerateRootInit("", ""))(t)
	must(sys.GenerateRootUpdate(keys[0], started.Nonce))(t)
	done := must(sys.GenerateRootUpdate(keys[1], started.Nonce))(t)
	equal(t, "complete", done.Complete, true)
	token := must(base64.RawStdEncoding.DecodeString(done.EncodedToken))(t)
	for index := range token {
		token[index] ^= started.OTP[index]
	}
	again := must(anyone(t).Clone())(t)
	again.SetToken(string(token))
	equal(t, "policies", must(must(again.Auth().Token().LookupSelf())(t).TokenPolicies())(t)[0], "root")
	check(t, again.Auth().Token().RevokeSelf(""))
	decoded := must(anyone(t).Logical().Write("sys/decode-token", values{"encoded_token": done.EncodedToken, "otp": started.OTP}))(t)
	equal(t, "as the server decodes it", decoded.Data["token"], any(string(token)))
}

// restored takes a snapshot, changes a secret, and puts the snapshot back: the server seals, and its key holders say that they want the older store.
func restored(t *testing.T, client *api.Client, keys []string) {
	sys := client.Sys()
	check(t, sys.Mount("kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}))
	kv := client.KVv1("kv")
	check(t, kv.Put(now, "a", values{"a": "before"}))
	var archive bytes.Buffer
	check(t, sys.RaftSnapshot(&archive))
	check(t, kv.Put(now, "a", values{"a": "after"}))
	check(t, sys.RaftSnapshotRestore(bytes.NewReader(archive.Bytes()), false))
	for end := time.Now().Add(20 * time.Second); !must(sys.SealStatus())(t).Sealed; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server should seal before it puts the snapshot in place")
		}
	}
	for _, key := range keys {
		must(client.Logical().Write("sys/unseal", values{"key": key, "accept_rollback": true}))(t)
	}
	equal(t, "value of the snapshot", must(kv.Get(now, "a"))(t).Data["a"], any("before"))
}
