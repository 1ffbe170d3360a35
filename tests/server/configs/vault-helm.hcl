disable_mlock = true
ui = true

listener "tcp" {
  tls_disable = 1
  address = "[::]:8200"
  cluster_address = "[::]:8201"
  # Enable unauthenticated metrics access (necessary for Prometheus Operator)
  #telemetry {
  #  unauthenticated_metrics_access = "true"
  #}
}
listener "unix" {
  address = "/run/vault.sock"
  socket_mode = "0660"
  socket_user = "1000"
}

backend "file" {
  path = "/vault/data"
}
