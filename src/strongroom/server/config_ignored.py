"""Keys of Vault's and OpenBao's configuration files that need no counterpart here: each is warned of once and ignored.

Rules of this file: names only. A key that is on no list and means nothing here is an error, so a misspelt one is noticed.
"""

from __future__ import annotations

TOP = frozenset(
    """
    adaptive_overload_protection administrative_namespace_path allow_audit_log_prefixing allow_unimplemented_seal cache_size
    cluster_addr default_max_request_duration detect_deadlocks disable_cache disable_clustering disable_mlock
    disable_performance_standby disable_printable_check disable_sealwrap disable_sentinel_trace disable_standby_reads enable_multiseal
    enable_post_unseal_trace enable_response_header_hostname enable_response_header_raft_node_id enable_ui entropy experiments
    feature_flags ha_backend ha_storage imprecise_lease_role_tracking initialize introspection_endpoint kms_library license_path
    log_requests_level log_rotate_bytes log_rotate_duration log_rotate_max_files plugin plugin_auto_download plugin_auto_register
    plugin_directory plugin_download_behavior plugin_file_permissions plugin_file_uid plugin_tmpdir post_unseal_trace_directory
    raw_storage remove_irrevocable_lease_after replication reporting request_limiter sentinel service_registration ui
    """.split()
)
"""Beside the stanzas."""

LISTENER = frozenset(
    """
    agent_api chroot_namespace cluster_address cors_allowed_origins custom_response_headers disable_replication_status_endpoints
    inflight_requests_logging max_json_array_element_count max_json_depth max_json_object_entry_count max_json_string_value_length
    max_json_token_count max_request_json_memory max_request_json_strings profiling proxy_api
    redact_addresses redact_cluster_name redact_version role socket_group socket_user telemetry
    tls_acme_ca_directory tls_acme_ca_root tls_acme_cache_path tls_acme_disable_alpn_challenge tls_acme_disable_http_challenge
    tls_acme_domains tls_acme_eab_key_id tls_acme_eab_mac_key tls_acme_email tls_cipher_suites tls_prefer_server_cipher_suites
    """.split()
)
"""In a listener."""

STORE = frozenset(
    """
    autopilot_reconcile_interval autopilot_update_interval ha_enabled ha_table max_batch_entries max_batch_size max_connect_retries
    max_entry_size max_idle_connections max_mount_and_namespace_table_entry_size max_parallel max_transaction_size node_id non_voter
    performance_multiplier raft_log_verifier_enabled raft_wal retry_join retry_join_as_non_voter skip_create_table snapshot_interval
    snapshot_threshold table trailing_logs
    """.split()
)
"""In storage."""
