# A Vault production node, from the reference architecture.
ui                = true
disable_mlock     = true
cluster_name      = "prod-eu"
api_addr          = "https://vault-1.example.com:8200"
cluster_addr      = "https://vault-1.example.com:8201"
log_level         = "warn"
log_file          = "/var/log/vault/vault.log"
log_rotate_duration = "24h"
log_rotate_max_files = 5
default_lease_ttl = "168h"
max_lease_ttl     = "720h"
pid_file          = "/run/vault/vault.pid"

storage "raft" {
  path    = "/opt/vault/data"
  node_id = "vault-1"

  retry_join {
    leader_api_addr         = "https://vault-2.example.com:8200"
    leader_ca_cert_file     = "/opt/vault/tls/ca.pem"
  }
  retry_join {
    leader_api_addr = "https://vault-3.example.com:8200"
  }
}

listener "tcp" {
  address            = "0.0.0.0:8200"
  cluster_address    = "0.0.0.0:8201"
  tls_cert_file      = "/opt/vault/tls/vault.crt"
  tls_key_file       = "/opt/vault/tls/vault.key"
  tls_client_ca_file = "/opt/vault/tls/ca.pem"
  tls_min_version    = "tls12"
  tls_disable_client_certs = true
  x_forwarded_for_authorized_addrs = "10.0.0.0/8,192.168.0.1"
  telemetry {
    unauthenticated_metrics_access = true
  }
}

telemetry {
  disable_hostname          = true
  prometheus_retention_time = "12h"
}

seal "awskms" {
  region     = "eu-central-1"
  kms_key_id = "12345678-90ab-cdef-1234-567890abcdef"
}

service_registration "kubernetes" {}

user_lockout "all" {
  lockout_duration = "10m"
}
