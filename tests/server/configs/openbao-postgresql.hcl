storage "postgresql" {
  connection_url = "postgres://openbao:fake-password@db.example.com:5432/openbao?sslmode=verify-full"
  table          = "openbao_kv_store"
  ha_enabled     = "true"
  max_idle_connections = 5
  skip_create_table    = true
}

listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
  x_forwarded_for_authorized_addrs = ["10.0.0.0/8", "127.0.0.1"]
  x_forwarded_for_hop_skips        = "1"
}

plugin_directory = "/usr/local/lib/openbao"
log_format = "json"
raw_storage_endpoint = true
introspection_endpoint = false
