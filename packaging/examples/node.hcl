# strongroom on node1; node2 and node3 differ in api_addr only.
storage "postgresql" {
  connection_url = "postgres://strongroom@db1.example.com,db2.example.com,db3.example.com/strongroom?sslmode=verify-full"
}

listener "tcp" {
  address                         = "0.0.0.0:8200"
  tls_cert_file                   = "/etc/strongroom/server.pem"
  tls_key_file                    = "/etc/strongroom/server-key.pem"
  proxy_protocol_behavior         = "deny_unauthorized"
  proxy_protocol_authorized_addrs = ["10.0.0.5", "10.0.0.6"]
}

seal "static" {
  path = "/etc/strongroom/seal.key"
}

audit "file" "file" {
  options {
    file_path = "/var/log/strongroom/audit.log"
  }
}

telemetry {
  unauthenticated_metrics_access = true
}

api_addr = "https://node1.example.com:8200"
pid_file = "/run/strongroom/strongroom.pid"
