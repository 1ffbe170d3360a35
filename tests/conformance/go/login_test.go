package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/vault/api"
	"github.com/hashicorp/vault/api/auth/approle"
	"github.com/hashicorp/vault/api/auth/kubernetes"
	"github.com/hashicorp/vault/api/auth/ldap"
	"github.com/hashicorp/vault/api/auth/userpass"
)

// loggedIn logs in with a client of its own and looks itself up: Login gives the client its token.
func loggedIn(t *testing.T, method api.AuthMethod) *api.Secret {
	t.Helper()
	client := anyone(t)
	secret := must(client.Auth().Login(now, method))(t)
	equal(t, "token of the client", client.Token(), secret.Auth.ClientToken)
	if secret.Auth.LeaseDuration <= 0 || !secret.Auth.Renewable || secret.Auth.EntityID == "" {
		t.Errorf("login: %+v", secret.Auth)
	}
	self := must(client.Auth().Token().LookupSelf())(t)
	equal(t, "entity", self.Data["entity_id"], any(secret.Auth.EntityID))
	check(t, client.Auth().Token().RevokeSelf(""))
	return secret
}

func TestUserpassLogin(t *testing.T) {
	client := root(t)
	mount := enabled(t, client, "userpass")
	must(client.Logical().Write("auth/"+mount+"/users/me", values{"password": "a password", "token_policies": "mine"}))(t)
	file := filepath.Join(t.TempDir(), "password")
	check(t, os.WriteFile(file, []byte("a password"), 0o600))
	t.Setenv("MY_PASSWORD", "a password")
	for _, password := range []userpass.Password{{FromString: "a password"}, {FromFile: file}, {FromEnv: "MY_PASSWORD"}} {
		secret := loggedIn(t, must(userpass.NewUserpassAuth("me", &password, userpass.WithMountPath(mount)))(t))
		equal(t, "policies", strings.Join(secret.Auth.Policies, " "), "default mine")
		equal(t, "metadata", secret.Auth.Metadata["username"], "me")
	}
	wrong := must(userpass.NewUserpassAuth("me", &userpass.Password{FromString: "wrong"}, userpass.WithMountPath(mount)))(t)
	_, err := anyone(t).Auth().Login(now, wrong)
	refused(t, err, 400, "invalid username or password")
	_, err = anyone(t).Auth().MFALogin(now, must(userpass.NewUserpassAuth("me", &userpass.Password{FromString: "a password"}, userpass.WithMountPath(mount)))(t))
	if err == nil {
		t.Log("a login without a second factor is answered as any other")
	}
}

func TestApproleLogin(t *testing.T) {
	client := root(t)
	mount := enabled(t, client, "approle")
	role := "auth/" + mount + "/role/app"
	must(client.Logical().Write(role, values{"token_policies": []string{"app"}, "secret_id_num_uses": 1, "token_ttl": "10m", "token_max_ttl": "1h"}))(t)
	read := must(client.Logical().Read(role))(t)
	equal(t, "time to live of its tokens", read.Data["token_ttl"].(interface{ String() string }).String(), "600")
	id := must(client.Logical().Read(role + "/role-id"))(t).Data["role_id"].(string)
	secretID := func() string {
		made := must(client.Logical().Write(role+"/secret-id", values{"metadata": `{"pod": "one"}`}))(t)
		if made.Data["secret_id_accessor"] == "" {
			t.Errorf("secret id: %v", made.Data)
		}
		return made.Data["secret_id"].(string)
	}
	once := secretID()
	method := must(approle.NewAppRoleAuth(id, &approle.SecretID{FromString: once}, approle.WithMountPath(mount)))(t)
	secret := loggedIn(t, method)
	equal(t, "policies", strings.Join(secret.Auth.Policies, " "), "app default")
	equal(t, "role", secret.Auth.Metadata["role_name"], "app")
	equal(t, "metadata of the secret id", secret.Auth.Metadata["pod"], "one")
	equal(t, "lease", secret.Auth.LeaseDuration, 600)
	_, err := anyone(t).Auth().Login(now, method)
	refused(t, err, 400, "invalid role or secret ID")

	wrapping := must(client.Clone())(t)
	wrapping.SetToken(client.Token())
	wrapping.SetWrappingLookupFunc(func(string, string) string { return "1m" })
	wrapped := must(wrapping.Logical().Write(role+"/secret-id", nil))(t).WrapInfo
	t.Setenv("MY_SECRET_ID", wrapped.Token)
	unwraps := must(approle.NewAppRoleAuth(id, &approle.SecretID{FromEnv: "MY_SECRET_ID"}, approle.WithMountPath(mount), approle.WithWrappingToken()))(t)
	loggedIn(t, unwraps)
	_, err = anyone(t).Auth().Login(now, unwraps)
	refused(t, err, 400, "wrapping token is not valid or does not exist")
}

// The directory and the cluster are set up by who starts these tests, since both are programs of their own.
func TestLDAPLogin(t *testing.T) {
	mount := os.Getenv("CONFORMANCE_LDAP_MOUNT")
	if mount == "" {
		t.Skip("no directory was started: CONFORMANCE_LDAP_MOUNT is not set")
	}
	name := os.Getenv("CONFORMANCE_LDAP_USER")
	password := ldap.Password{FromEnv: "CONFORMANCE_LDAP_PASSWORD"}
	secret := loggedIn(t, must(ldap.NewLDAPAuth(name, &password, ldap.WithMountPath(mount)))(t))
	equal(t, "metadata", secret.Auth.Metadata["username"], name)
	wrong := must(ldap.NewLDAPAuth(name, &ldap.Password{FromString: "wrong"}, ldap.WithMountPath(mount)))(t)
	_, err := anyone(t).Auth().Login(now, wrong)
	refused(t, err, 400, "ldap operation failed")
}

func TestKubernetesLogin(t *testing.T) {
	mount, role := os.Getenv("CONFORMANCE_KUBERNETES_MOUNT"), os.Getenv("CONFORMANCE_KUBERNETES_ROLE")
	if mount == "" {
		t.Skip("no cluster was started: CONFORMANCE_KUBERNETES_MOUNT is not set")
	}
	token := kubernetes.WithServiceAccountTokenEnv("CONFORMANCE_KUBERNETES_TOKEN")
	secret := loggedIn(t, must(kubernetes.NewKubernetesAuth(role, token, kubernetes.WithMountPath(mount)))(t))
	equal(t, "role", secret.Auth.Metadata["role"], role)
	wrong := must(kubernetes.NewKubernetesAuth(role, kubernetes.WithServiceAccountToken("x.y.z"), kubernetes.WithMountPath(mount)))(t)
	_, err := anyone(t).Auth().Login(now, wrong)
	refused(t, err, 403, "permission denied")
}
