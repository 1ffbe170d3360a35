package conformance

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

func TestAClientThatLimitsItself(t *testing.T) {
	client := root(t)
	client.SetLimiter(50, 1)
	start := time.Now()
	for range 11 {
		must(client.Auth().Token().LookupSelf())(t)
	}
	if elapsed := time.Since(start); elapsed < 190*time.Millisecond {
		t.Errorf("11 requests at 50 a second took %v", elapsed)
	}
}

func TestManyRequestsAtOnceShareAClient(t *testing.T) {
	client := root(t)
	kv := client.KVv2(mounted(t, client, "kv", map[string]string{"version": "2"}))
	var group sync.WaitGroup
	for number := range 20 {
		group.Add(1)
		go func() {
			defer group.Done()
			path := string(rune('a' + number))
			if _, err := kv.Put(now, path, values{"n": number}); err != nil {
				t.Error(err)
			}
			if _, err := kv.Get(now, path); err != nil {
				t.Error(err)
			}
		}()
	}
	group.Wait()
}

func TestClonesKeepTheirHeaders(t *testing.T) {
	client := root(t)
	client.AddHeader("X-Own", "value")
	client.SetCloneHeaders(true)
	client.SetCloneToken(true)
	clone := must(client.Clone())(t)
	equal(t, "header", clone.Headers().Get("X-Own"), "value")
	must(clone.Auth().Token().LookupSelf())(t)
	same := must(client.CloneWithHeaders())(t)
	equal(t, "header of the other way", same.Headers().Get("X-Own"), "value")
}

func TestReadYourWrites(t *testing.T) {
	client := root(t)
	client.SetReadYourWrites(true)
	kv := client.KVv2(mounted(t, client, "kv", map[string]string{"version": "2"}))
	var state string
	for number := range 3 {
		recording := client.WithResponseCallbacks(api.RecordState(&state))
		must(recording.KVv2(named(t)).Put(now, "a", values{"n": number}))(t)
		must(kv.Get(now, "a"))(t)
	}
	if state == "" {
		t.Skip("a store of one machine is never behind and says nothing: only PostgreSQL's nodes send X-Vault-Index")
	}
	parsed := must(api.ParseReplicationState(state, nil))(t)
	if parsed.ClusterID == "" || parsed.LocalIndex == 0 {
		t.Errorf("state: %+v", parsed)
	}
	must(client.WithRequestCallbacks(api.RequireState(state)).KVv2(named(t)).Get(now, "a"))(t)
	merged := api.MergeReplicationStates([]string{state}, state)
	equal(t, "merged states", len(merged), 1)
}

// A user's mistake is not asked again; the client retries 412, 5xx and nothing else.
func TestMistakesAreNotRetried(t *testing.T) {
	client := root(t)
	client.SetMaxRetries(3)
	retries := 0
	client.SetCheckRetry(func(ctx context.Context, answer *http.Response, err error) (bool, error) {
		again, err := api.DefaultRetryPolicy(ctx, answer, err)
		if again {
			retries++
		}
		return again, err
	})
	for _, path := range []string{"sys/mounts/none", "auth/approle/login", "sys/leases/renew", "no/such/mount"} {
		_, _ = client.Logical().Write(path, values{"a": "b"})
	}
	_, _ = client.Logical().List("sys/seal")
	_, _ = client.Sys().Lookup("none")
	equal(t, "retries", retries, 0)
}

func TestOutputOfWhatWouldBeSent(t *testing.T) {
	client := root(t)
	client.SetOutputPolicy(true)
	_, err := client.Logical().Read("secret/data/a")
	if output, ok := err.(*api.OutputPolicyError); !ok {
		t.Errorf("want what the client calls OutputPolicyError, got %v", err)
	} else if rules := must(output.HCLString())(t); rules == "" {
		t.Error("no policy")
	}
}

func TestNamespaces(t *testing.T) {
	client := root(t)
	client.SetNamespace("root")
	_, err := client.Auth().Token().LookupSelf()
	if err != nil {
		refused(t, err, 404, "")
	}
	other := client.WithNamespace("no-such-namespace")
	_, err = other.Auth().Token().LookupSelf()
	refused(t, err, 404, "")
	client.ClearNamespace()
	must(client.Auth().Token().LookupSelf())(t)
}
