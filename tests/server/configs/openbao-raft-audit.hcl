/* OpenBao with declared audit devices and a static seal. */
ui                             = true
cluster_addr                   = "https://bao-0:8201"
api_addr                       = "https://bao-0:8200"
unsafe_allow_api_audit_creation = false
allow_audit_log_prefixing      = false
detect_deadlocks               = ""

storage "raft" {
  path = "/openbao/data"
  node_id = "bao-0"
  performance_multiplier = 1
}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/openbao/tls/tls.crt"
  tls_key_file  = "/openbao/tls/tls.key"
  disable_unauthed_rekey_endpoints = true
  disable_unauthed_generate_root_endpoints = true
  max_request_json_memory = 34078720
  max_request_json_strings = 1000
}

audit "file" "to-stdout" {
  description = "All of it, for the log collector."
  options {
    file_path = "/dev/stdout"
    log_raw   = "false"
  }
}

audit "file" "to-disk" {
  options {
    file_path = "/var/log/openbao/audit.log"
    mode      = "0600"
  }
}

seal "static" {
  current_key_id = "20260101-1"
  current_key    = "file:///openbao/keys/unseal-20260101-1.key"
}

initialize "identity" {
  request "mount-userpass" {
    operation = "update"
    path = "sys/auth/userpass"
    data = { type = "userpass" }
  }
}
