package conformance

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
)

func TestStatusCallsNeedNoToken(t *testing.T) {
	sys := anyone(t).Sys()
	health := must(sys.Health())(t)
	equal(t, "initialized", health.Initialized, true)
	equal(t, "sealed", health.Sealed, false)
	equal(t, "standby", health.Standby, false)
	equal(t, "cluster", health.ClusterName, "conformance")
	equal(t, "enterprise", health.Enterprise, false)
	if health.Version == "" || health.ClusterID == "" || time.Since(time.Unix(health.ServerTimeUTC, 0)).Abs() > time.Minute {
		t.Errorf("health: %+v", health)
	}
	seal := must(sys.SealStatus())(t)
	equal(t, "kind of seal", seal.Type, "shamir")
	equal(t, "shares", seal.N, 5)
	equal(t, "threshold", seal.T, 3)
	equal(t, "version", seal.Version, health.Version)
	equal(t, "init", must(sys.InitStatus())(t), true)
	leader := must(sys.Leader())(t)
	equal(t, "number of fields about other nodes", leader.PerfStandby, false)
}

func TestNodes(t *testing.T) {
	nodes := must(root(t).Sys().HAStatus())(t).Nodes
	if len(nodes) != 1 || !nodes[0].ActiveNode || nodes[0].Version == "" || nodes[0].APIAddress == "" {
		t.Errorf("nodes: %+v", nodes)
	}
}

func TestMounts(t *testing.T) {
	sys := root(t).Sys()
	path := named(t)
	input := api.MountInput{
		Type: "kv", Description: "of a test", Options: map[string]string{"version": "2"}, Local: false, SealWrap: false,
		Config: api.MountConfigInput{DefaultLeaseTTL: "1h", MaxLeaseTTL: "2h", ListingVisibility: "unauth", ForceNoCache: true},
	}
	check(t, sys.Mount(path, &input))
	refused(t, sys.Mount(path, &input), 400, "path is already in use at "+path+"/")
	listed := must(sys.ListMounts())(t)
	for _, mount := range []*api.MountOutput{listed[path+"/"], must(sys.GetMount(path))(t)} {
		equal(t, "type", mount.Type, "kv")
		equal(t, "description", mount.Description, "of a test")
		equal(t, "version", mount.Options["version"], "2")
		equal(t, "default", mount.Config.DefaultLeaseTTL, 3600)
		equal(t, "maximum", mount.Config.MaxLeaseTTL, 7200)
		equal(t, "visibility", mount.Config.ListingVisibility, "unauth")
		equal(t, "no cache", mount.Config.ForceNoCache, true)
		if mount.UUID == "" || !strings.HasPrefix(mount.Accessor, "kv_") {
			t.Errorf("mount: %+v", mount)
		}
	}
	if listed["sys/"] == nil || listed["cubbyhole/"] == nil || listed["identity/"] == nil {
		t.Errorf("mounts that are always there: %v", listed)
	}
	_, err := sys.GetMount("no/such/mount")
	refused(t, err, 400, "No secret engine mount")
	check(t, sys.Remount(path, path+"-moved"))
	equal(t, "identity of what was moved", must(sys.GetMount(path+"-moved"))(t).UUID, listed[path+"/"].UUID)
	check(t, sys.Unmount(path+"-moved"))
	check(t, sys.Unmount(path+"-moved"))
	refused(t, sys.Unmount("sys"), 400, "")
}

func TestTuneOfAMount(t *testing.T) {
	client := root(t)
	sys := client.Sys()
	path := mounted(t, client, "kv", map[string]string{"version": "1"})
	description, hidden := "new", "hidden"
	keys, headers := []string{"a", "b"}, []string{"X-Custom"}
	check(t, sys.TuneMount(path, api.MountConfigInput{
		DefaultLeaseTTL: "30m", MaxLeaseTTL: "90m", Description: &description, AuditNonHMACRequestKeys: keys, AuditNonHMACResponseKeys: keys,
		ListingVisibility: "unauth", PassthroughRequestHeaders: headers, AllowedResponseHeaders: headers, Options: map[string]string{"version": "2"},
	}))
	config := must(sys.MountConfig(path))(t)
	equal(t, "default", config.DefaultLeaseTTL, 1800)
	equal(t, "maximum", config.MaxLeaseTTL, 5400)
	equal(t, "visibility", config.ListingVisibility, "unauth")
	equal(t, "clear in requests", strings.Join(config.AuditNonHMACRequestKeys, " "), "a b")
	equal(t, "clear in answers", strings.Join(config.AuditNonHMACResponseKeys, " "), "a b")
	equal(t, "headers to the engine", strings.Join(config.PassthroughRequestHeaders, " "), "X-Custom")
	equal(t, "headers of the engine", strings.Join(config.AllowedResponseHeaders, " "), "X-Custom")
	mount := must(sys.GetMount(path))(t)
	equal(t, "description", mount.Description, "new")
	equal(t, "version of the store", mount.Options["version"], "2")

	empty, none, system := "", []string{}, "system"
	check(t, sys.TuneMountAllowNil(path, api.TuneMountConfigInput{
		Description: &empty, AuditNonHMACRequestKeys: &none, DefaultLeaseTTL: &system, MaxLeaseTTL: &system, ListingVisibility: &hidden,
		PassthroughRequestHeaders: &none,
	}))
	config = must(sys.MountConfig(path))(t)
	equal(t, "visibility taken back", config.ListingVisibility, "hidden")
	equal(t, "default taken back", config.DefaultLeaseTTL, 2764800)
	equal(t, "cleared list", len(config.AuditNonHMACRequestKeys), 0)
	equal(t, "cleared headers", len(config.PassthroughRequestHeaders), 0)
	equal(t, "what was not sent", strings.Join(config.AuditNonHMACResponseKeys, " "), "a b")
	equal(t, "cleared description", must(sys.GetMount(path))(t).Description, "")
}

func TestAuthMethods(t *testing.T) {
	client := root(t)
	sys := client.Sys()
	path := enabled(t, client, "userpass")
	equal(t, "token method", must(sys.ListAuth())(t)["token/"].Type, "token")
	for _, method := range []*api.AuthMount{must(sys.ListAuth())(t)[path+"/"], must(sys.GetAuth(path))(t)} {
		equal(t, "type", method.Type, "userpass")
		equal(t, "token type", method.Config.TokenType, "default-service")
		if !strings.HasPrefix(method.Accessor, "auth_userpass_") {
			t.Errorf("accessor: %s", method.Accessor)
		}
	}
	off := true
	check(t, sys.TuneMount("auth/"+path, api.MountConfigInput{
		TokenType: "batch", DefaultLeaseTTL: "1h",
		UserLockoutConfig: &api.UserLockoutConfigInput{
			LockoutThreshold: "7", LockoutDuration: "10m", LockoutCounterResetDuration: "5m", DisableLockout: &off,
		},
	}))
	equal(t, "token type after the tune", must(sys.MountConfig("auth/"+path))(t).TokenType, "batch")
	// The client's own struct has no name for the lockout's settings that its decoder knows; programs read them like this.
	tuned := must(client.Logical().Read("sys/auth/" + path + "/tune"))(t).Data
	for name, want := range map[string]string{"threshold": "7", "duration": "600", "counter_reset_duration": "300"} {
		equal(t, name, fmt.Sprint(tuned["user_lockout_"+name]), want)
	}
	equal(t, "lockout switched off", tuned["user_lockout_disable"], any(true))
	refused(t, sys.EnableAuthWithOptions(path+"x", &api.EnableAuthOptions{Type: "no-such-kind"}), 400, "no-such-kind")
	refused(t, sys.DisableAuth("token"), 400, "")
}

func TestPolicies(t *testing.T) {
	client := root(t)
	sys := client.Sys()
	rules := `path "x/*" { capabilities = ["read"] }`
	name := policy(t, client, rules)
	equal(t, "rules", must(sys.GetPolicy(name))(t), rules)
	contains(t, "policies", must(sys.ListPolicies())(t), name)
	contains(t, "policies", must(sys.ListPolicies())(t), "root")
	equal(t, "rules of none", must(sys.GetPolicy("no-such-policy"))(t), "")
	refused(t, sys.PutPolicy(name, `path "x" { capabilities = ["fly"] }`), 400, "unknown capability")
	refused(t, sys.DeletePolicy("default"), 400, "cannot delete")

	own := fresh(t, client, name)
	self := must(own.Sys().CapabilitiesSelf("x/y"))(t)
	equal(t, "capabilities", strings.Join(self, " "), "read")
	equal(t, "capabilities elsewhere", strings.Join(must(own.Sys().CapabilitiesSelf("z"))(t), " "), "deny")
	equal(t, "of another token", strings.Join(must(sys.Capabilities(own.Token(), "x/y"))(t), " "), "read")
	accessor := must(own.Auth().Token().LookupSelf())(t).Data["accessor"].(string)
	equal(t, "by accessor", strings.Join(must(sys.CapabilitiesAccessor(accessor, "x/y"))(t), " "), "read")
	equal(t, "of root", strings.Join(must(sys.CapabilitiesSelf("x"))(t), " "), "root")
}

func TestAuditDevices(t *testing.T) {
	sys := root(t).Sys()
	path := named(t)
	file := t.TempDir() + "/audit.log"
	options := api.EnableAuditOptions{Type: "file", Description: "of a test", Options: map[string]string{"file_path": file}}
	err := sys.EnableAuditWithOptions(path, &options)
	if err != nil { // the directory of a test's own is not one where the server may write
		refused(t, err, 400, "audit_directory")
	}
	devices := must(sys.ListAudit())(t)
	device := devices["file/"]
	if device == nil {
		t.Fatalf("devices: %v", devices)
	}
	equal(t, "type", device.Type, "file")
	equal(t, "path", device.Path, "file/")
	if device.Options["file_path"] == "" {
		t.Errorf("options: %v", device.Options)
	}
	hash := must(sys.AuditHash("file", "a secret"))(t)
	if !strings.HasPrefix(hash, "hmac-sha256:") {
		t.Errorf("hash: %s", hash)
	}
	_, err = sys.AuditHash(path+"-none", "a secret")
	refused(t, err, 400, "unknown audit backend")
	check(t, sys.DisableAudit(path+"-none"))
}

func TestKeyStatusAndRotation(t *testing.T) {
	sys := root(t).Sys()
	before := must(sys.KeyStatus())(t)
	check(t, sys.Rotate())
	after := must(sys.KeyStatus())(t)
	equal(t, "term", after.Term, before.Term+1)
	if time.Since(after.InstallTime) > time.Minute {
		t.Errorf("installed %v", after.InstallTime)
	}
}

func TestCORS(t *testing.T) {
	sys := root(t).Sys()
	equal(t, "at first", must(sys.CORSStatus())(t).Enabled, false)
	check(t, sys.ConfigureCORS(&api.CORSRequest{AllowedOrigins: []string{"https://example.com"}, AllowedHeaders: []string{"X-Own"}, Enabled: true}))
	status := must(sys.CORSStatus())(t)
	equal(t, "enabled", status.Enabled, true)
	equal(t, "origins", strings.Join(status.AllowedOrigins, " "), "https://example.com")
	contains(t, "headers", status.AllowedHeaders, "X-Own")
	check(t, sys.DisableCORS())
	equal(t, "at last", must(sys.CORSStatus())(t).Enabled, false)
}

func TestPluginsAreAnsweredClearly(t *testing.T) {
	sys := root(t).Sys()
	all := must(sys.ListPlugins(&api.ListPluginsInput{}))(t)
	contains(t, "auth methods", all.PluginsByType[api.PluginTypeCredential], "userpass")
	contains(t, "engines", all.PluginsByType[api.PluginTypeSecrets], "kv")
	if len(all.Details) == 0 || all.Details[0].Name == "" || all.Details[0].Type == "" {
		t.Errorf("details: %+v", all.Details)
	}
	of := must(sys.ListPlugins(&api.ListPluginsInput{Type: api.PluginTypeCredential}))(t)
	contains(t, "auth methods alone", of.PluginsByType[api.PluginTypeCredential], "approle")
	must(sys.ListPlugins(&api.ListPluginsInput{Type: api.PluginTypeDatabase}))(t)
	plugin := must(sys.GetPlugin(&api.GetPluginInput{Name: "kv", Type: api.PluginTypeSecrets}))(t)
	equal(t, "name", plugin.Name, "kv")
	equal(t, "builtin", plugin.Builtin, true)
	_, err := sys.GetPlugin(&api.GetPluginInput{Name: "none", Type: api.PluginTypeSecrets})
	refused(t, err, 404, "")
	err = sys.RegisterPlugin(&api.RegisterPluginInput{Name: "mine", Type: api.PluginTypeSecrets, Command: "mine", SHA256: strings.Repeat("0", 64)})
	refused(t, err, 405, "")
	refused(t, sys.DeregisterPlugin(&api.DeregisterPluginInput{Name: "mine", Type: api.PluginTypeSecrets}), 405, "")
	_, err = sys.ReloadPlugin(&api.ReloadPluginInput{Plugin: "kv"})
	check(t, err)
}

func TestPaidFeaturesAreRefusedClearly(t *testing.T) {
	sys := root(t).Sys()
	_, err := sys.MFAValidate("00000000-0000-0000-0000-000000000000", values{"x": []string{"1"}})
	refused(t, err, 404, "")
	_, err = sys.GenerateDROperationTokenStatus()
	refused(t, err, 404, "")
	if state := must(sys.RaftAutopilotState())(t); state != nil {
		t.Errorf("there is no raft: %+v", state)
	}
	_, err = sys.RaftJoin(&api.RaftJoinRequest{LeaderAPIAddr: "https://127.0.0.1:1"})
	refused(t, err, 404, "")
	_, err = sys.ReplicationStatus()
	check(t, err)
	_, err = sys.ListUICustomMessages(api.UICustomMessageListRequest{})
	refused(t, err, 404, "")
	check(t, sys.StepDown())
	_, err = sys.UtilizationReport()
	refused(t, err, 404, "")
}

func TestLogTail(t *testing.T) {
	ctx, cancel := context.WithTimeout(now, 10*time.Second)
	defer cancel()
	lines, err := root(t).Sys().Monitor(ctx, "debug", "json")
	if err != nil {
		refused(t, err, 404, "")
		return
	}
	go func() { _, _ = root(t).Logical().Write("sys/config/reload/audit", nil) }()
	if line := <-lines; line == "" {
		t.Error("no line")
	}
}

func TestSnapshot(t *testing.T) {
	var archive bytes.Buffer
	out := bufio.NewWriter(&archive)
	check(t, root(t).Sys().RaftSnapshot(out))
	check(t, out.Flush())
	if archive.Len() < 1000 {
		t.Errorf("a snapshot of %d bytes", archive.Len())
	}
}

func TestHelpAndDocument(t *testing.T) {
	client := root(t)
	help := must(client.Help("sys/mounts"))(t)
	if help.Help == "" || help.OpenAPI["openapi"] == nil {
		t.Errorf("help: %+v", help)
	}
	must(client.Help("auth/token"))(t)
	must(client.Help("sys"))(t)
}
