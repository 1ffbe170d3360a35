package conformance

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

func TestTokensAreMadeLookedUpRenewedAndRevoked(t *testing.T) {
	client := root(t)
	tokens := client.Auth().Token()
	made := must(tokens.Create(&api.TokenCreateRequest{
		Policies: []string{"default"}, TTL: "1h", ExplicitMaxTTL: "2h", DisplayName: "go", Metadata: map[string]string{"who": "till"},
	}))(t)
	equal(t, "lease", made.Auth.LeaseDuration, 3600)
	equal(t, "renewable", made.Auth.Renewable, true)
	equal(t, "orphan", made.Auth.Orphan, false)
	equal(t, "metadata", made.Auth.Metadata["who"], "till")
	token, accessor := made.Auth.ClientToken, made.Auth.Accessor
	equal(t, "token by its accessor function", must(made.TokenID())(t), token)
	equal(t, "accessor by its function", must(made.TokenAccessor())(t), accessor)
	equal(t, "policies by their function", strings.Join(must(made.TokenPolicies())(t), " "), "default")

	own := holder(t, token)
	for _, looked := range []*api.Secret{
		must(tokens.Lookup(token))(t), must(tokens.LookupAccessor(accessor))(t), must(own.Auth().Token().LookupSelf())(t),
	} {
		if ttl := must(looked.TokenTTL())(t); ttl <= 59*time.Minute || ttl > time.Hour {
			t.Errorf("time to live: %v", ttl)
		}
		equal(t, "renewable", must(looked.TokenIsRenewable())(t), true)
		equal(t, "accessor", must(looked.TokenAccessor())(t), accessor)
		equal(t, "policies", strings.Join(must(looked.TokenPolicies())(t), " "), "default")
		equal(t, "metadata", must(looked.TokenMetadata())(t)["who"], "till")
		equal(t, "uses", must(looked.TokenRemainingUses())(t), 0)
		equal(t, "display name", looked.Data["display_name"], any("token-go"))
		equal(t, "type", looked.Data["type"], any("service"))
	}
	for _, renewed := range []*api.Secret{
		must(tokens.Renew(token, 600))(t), must(tokens.RenewAccessor(accessor, 600))(t), must(own.Auth().Token().RenewSelf(600))(t),
		must(client.Auth().Token().RenewTokenAsSelf(token, 600))(t),
	} {
		equal(t, "renewed", renewed.Auth.LeaseDuration, 600)
		equal(t, "renewable still", renewed.Auth.Renewable, true)
	}
	long := must(tokens.Renew(token, 5*3600))(t)
	if long.Auth.LeaseDuration > 7200 || len(long.Warnings) == 0 {
		t.Errorf("beyond its end: %+v", long)
	}
	check(t, own.Auth().Token().RevokeSelf(""))
	_, err := own.Auth().Token().LookupSelf()
	refused(t, err, 403, "permission denied")
	_, err = tokens.Lookup(token)
	refused(t, err, 403, "bad token")
	_, err = tokens.LookupAccessor(accessor)
	refused(t, err, 400, "invalid accessor")
	check(t, tokens.RevokeTree(token))
}

func TestTreesOfTokens(t *testing.T) {
	client := root(t)
	tokens := client.Auth().Token()
	name := policy(t, client, `path "auth/token/create" { capabilities = ["update"] }`)
	alive := func(token string) bool { _, err := tokens.Lookup(token); return err == nil }
	pair := func() (string, string) {
		parent := must(tokens.Create(&api.TokenCreateRequest{Policies: []string{name}, TTL: "1h"}))(t).Auth.ClientToken
		child := must(holder(t, parent).Auth().Token().Create(&api.TokenCreateRequest{TTL: "10m"}))(t).Auth.ClientToken
		return parent, child
	}
	parent, child := pair()
	check(t, tokens.RevokeOrphan(parent))
	equal(t, "parent", alive(parent), false)
	equal(t, "child that stays", alive(child), true)
	check(t, tokens.RevokeTree(child))
	parent, child = pair()
	check(t, tokens.RevokeTree(parent))
	equal(t, "child that goes along", alive(child), false)
	parent, child = pair()
	check(t, tokens.RevokeAccessor(must(tokens.Lookup(parent))(t).Data["accessor"].(string)))
	equal(t, "child of the revoked accessor", alive(child), false)
	orphan := must(tokens.CreateOrphan(&api.TokenCreateRequest{TTL: "10m"}))(t)
	equal(t, "orphan", orphan.Auth.Orphan, true)
	check(t, tokens.RevokeTree(orphan.Auth.ClientToken))
}

func TestKindsOfTokens(t *testing.T) {
	client := root(t)
	tokens := client.Auth().Token()
	batch := must(tokens.Create(&api.TokenCreateRequest{Type: "batch", TTL: "10m", Policies: []string{"default"}}))(t)
	equal(t, "renewable batch token", batch.Auth.Renewable, false)
	equal(t, "accessor of a batch token", batch.Auth.Accessor, "")
	equal(t, "kind", must(holder(t, batch.Auth.ClientToken).Auth().Token().LookupSelf())(t).Data["type"], any("batch"))
	refused(t, tokens.RevokeTree(batch.Auth.ClientToken), 400, "batch tokens cannot be revoked")

	periodic := must(tokens.Create(&api.TokenCreateRequest{Period: "1h", Policies: []string{"default"}}))(t)
	equal(t, "period", must(tokens.Renew(periodic.Auth.ClientToken, 60))(t).Auth.LeaseDuration, 3600)
	counted := must(tokens.Create(&api.TokenCreateRequest{NumUses: 2, TTL: "1h", Policies: []string{"default"}}))(t)
	own := holder(t, counted.Auth.ClientToken)
	equal(t, "uses left", must(must(own.Auth().Token().LookupSelf())(t).TokenRemainingUses())(t), 1)
	must(own.Auth().Token().LookupSelf())(t)
	_, err := own.Auth().Token().LookupSelf()
	refused(t, err, 403, "permission denied")
	bare := must(tokens.Create(&api.TokenCreateRequest{NoDefaultPolicy: true, NoParent: true, TTL: "1m", Policies: []string{"none-such"}}))(t)
	equal(t, "policies", strings.Join(bare.Auth.Policies, " "), "none-such")
	never := false
	fixed := must(tokens.Create(&api.TokenCreateRequest{Renewable: &never, TTL: "1m", Policies: []string{"default"}}))(t)
	equal(t, "renewable", fixed.Auth.Renewable, false)

	role := named(t)
	must(client.Logical().Write("auth/token/roles/"+role, values{"allowed_policies": "default", "orphan": true, "token_period": "30m"}))(t)
	byRole := must(tokens.CreateWithRole(&api.TokenCreateRequest{}, role))(t)
	equal(t, "orphan by role", byRole.Auth.Orphan, true)
	equal(t, "period by role", byRole.Auth.LeaseDuration, 1800)
	_, err = tokens.CreateWithRole(&api.TokenCreateRequest{Policies: []string{"other"}}, role)
	refused(t, err, 400, "other")
	_, err = tokens.CreateWithRole(&api.TokenCreateRequest{}, "none-such")
	refused(t, err, 400, "unknown role")
	must(client.Logical().Delete("auth/token/roles/" + role))(t)
	for _, made := range []*api.Secret{periodic, bare, fixed, byRole} {
		check(t, tokens.RevokeTree(made.Auth.ClientToken))
	}
}

// A program that keeps its token alive and one that only watches it.
func TestLifetimeWatcher(t *testing.T) {
	client := root(t)
	made := must(client.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{"default"}, TTL: "2s", ExplicitMaxTTL: "4s"}))(t)
	own := holder(t, made.Auth.ClientToken)
	watcher := must(own.NewLifetimeWatcher(&api.LifetimeWatcherInput{Secret: made, Increment: 2}))(t)
	go watcher.Start()
	defer watcher.Stop()
	renewals := 0
	for end := time.After(20 * time.Second); ; {
		select {
		case renewal := <-watcher.RenewCh():
			renewals++
			if !renewal.Secret.Auth.Renewable || renewal.Secret.Auth.LeaseDuration > 2 {
				t.Errorf("renewal: %+v", renewal.Secret.Auth)
			}
		case err := <-watcher.DoneCh():
			check(t, err)
			if renewals < 2 {
				t.Errorf("%d renewals", renewals)
			}
			return
		case <-end:
			t.Fatal("the watcher should end with the token")
		}
	}
}
