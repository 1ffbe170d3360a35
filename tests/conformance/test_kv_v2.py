"""hvac's `secrets.kv.v2` against a real server."""

from __future__ import annotations

from typing import Any

import hvac
import pytest
from hvac import exceptions

SECRET = {"pssst": "hi", "number": 12345678901234567890, "nested": {"list": [1, 2.5, None, True]}}


def write(client: hvac.Client, mount: str, path: str = "hvac", versions: int = 1) -> None:
    for number in range(1, versions + 1):
        client.secrets.kv.v2.create_or_update_secret(path, {"pssst": number}, mount_point=mount)


def states(client: hvac.Client, mount: str, path: str = "hvac") -> dict[int, str]:
    """Version → live, deleted or destroyed."""
    metadata = client.secrets.kv.v2.read_secret_metadata(path, mount_point=mount)["data"]
    return {
        int(number): "destroyed" if one["destroyed"] else "deleted" if one["deletion_time"] else "live"
        for number, one in metadata["versions"].items()
    }


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ({}, {"max_versions": 10, "cas_required": False, "delete_version_after": "0s"}),
        ({"max_versions": 1}, {"max_versions": 1, "cas_required": False, "delete_version_after": "0s"}),
        ({"cas_required": True}, {"max_versions": 10, "cas_required": True, "delete_version_after": "0s"}),
        (
            {"max_versions": 17, "cas_required": True, "delete_version_after": "3h25m19s"},
            {"max_versions": 17, "cas_required": True, "delete_version_after": "3h25m19s"},
        ),
    ],
)
def test_a_mount_shows_the_configuration_it_was_given(
    client: hvac.Client, v2_mount: str, sent: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert client.secrets.kv.v2.configure(mount_point=v2_mount, **sent).status_code == 204
    assert client.secrets.kv.v2.read_configuration(mount_point=v2_mount)["data"].items() >= shown.items()


def test_an_untouched_mount_shows_its_configuration(client: hvac.Client, v2_mount: str) -> None:
    shown = client.secrets.kv.v2.read_configuration(mount_point=v2_mount)["data"]
    assert shown.items() >= {"max_versions": 0, "cas_required": False, "delete_version_after": "0s"}.items()


def test_a_secret_is_read_as_it_was_written(client: hvac.Client, v2_mount: str) -> None:
    written = client.secrets.kv.v2.create_or_update_secret("a/b", SECRET, mount_point=v2_mount)["data"]
    assert written.keys() == {"created_time", "custom_metadata", "deletion_time", "destroyed", "version"}
    read = client.secrets.kv.v2.read_secret("a/b", mount_point=v2_mount, raise_on_deleted_version=True)
    assert read["data"] == {"data": SECRET, "metadata": written}
    assert (read["lease_id"], read["renewable"], read["lease_duration"], read["wrap_info"]) == ("", False, 0, None)


@pytest.mark.parametrize(("wanted", "written"), [(2, 2), (1, 5), (None, 10), (None, 15), (0, 3)])
def test_any_kept_version_is_read(client: hvac.Client, v2_mount: str, wanted: int | None, written: int) -> None:
    write(client, v2_mount, versions=written)
    read = client.secrets.kv.v2.read_secret_version("hvac", wanted, mount_point=v2_mount, raise_on_deleted_version=True)
    assert read["data"]["data"] == {"pssst": wanted or written}
    assert read["data"]["metadata"]["version"] == (wanted or written)


def test_a_missing_secret_or_version_is_an_invalid_path(client: hvac.Client, v2_mount: str) -> None:
    write(client, v2_mount)
    for path, version in (("no-secret-here", None), ("hvac", 2), ("no-secret-here", 1)):
        for raising in (True, False):
            with pytest.raises(exceptions.InvalidPath):
                client.secrets.kv.v2.read_secret_version(path, version, v2_mount, raise_on_deleted_version=raising)


@pytest.mark.parametrize(("before", "cas", "version"), [(0, None, 1), (0, 0, 1), (1, None, 2), (1, 1, 2)])
def test_check_and_set_lets_the_right_number_through(
    client: hvac.Client, v2_mount: str, before: int, cas: int | None, version: int
) -> None:
    write(client, v2_mount, versions=before)
    written = client.secrets.kv.v2.create_or_update_secret("hvac", {"pssst": "hi"}, cas, mount_point=v2_mount)
    assert written["data"]["version"] == version


@pytest.mark.parametrize("cas", [-1, 0, 2])
def test_check_and_set_refuses_any_other_number(client: hvac.Client, v2_mount: str, cas: int) -> None:
    write(client, v2_mount)
    with pytest.raises(exceptions.InvalidRequest, match="did not match the current version"):
        client.secrets.kv.v2.create_or_update_secret("hvac", {"pssst": "hi"}, cas, mount_point=v2_mount)


def test_where_it_is_required_a_write_without_check_and_set_is_refused(client: hvac.Client, v2_mount: str) -> None:
    client.secrets.kv.v2.configure(cas_required=True, mount_point=v2_mount)
    with pytest.raises(exceptions.InvalidRequest, match="check-and-set parameter required for this call"):
        client.secrets.kv.v2.create_or_update_secret("hvac", {"pssst": "hi"}, mount_point=v2_mount)
    assert client.secrets.kv.v2.create_or_update_secret("hvac", {}, 0, mount_point=v2_mount)["data"]["version"] == 1


@pytest.mark.filterwarnings("ignore:The raise_on_deleted_version parameter:DeprecationWarning")
@pytest.mark.parametrize("change", [{"new_key": "some secret"}, {"pssst": "some secret"}])
def test_a_patch_keeps_what_it_does_not_name(client: hvac.Client, v2_mount: str, change: dict[str, str]) -> None:
    client.secrets.kv.v2.create_or_update_secret("hvac", {"pssst": "hi"}, mount_point=v2_mount)
    assert client.secrets.kv.v2.patch("hvac", change, mount_point=v2_mount)["data"]["version"] == 2
    read = client.secrets.kv.v2.read_secret("hvac", mount_point=v2_mount, raise_on_deleted_version=True)
    assert read["data"]["data"] == {"pssst": "hi", **change}


@pytest.mark.filterwarnings("ignore:The raise_on_deleted_version parameter:DeprecationWarning")
def test_a_patch_needs_a_secret(client: hvac.Client, v2_mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath, match="patch only works on existing data"):
        client.secrets.kv.v2.patch("hvac", {"new_key": "some secret"}, mount_point=v2_mount)


@pytest.mark.parametrize("written", [1, 2, 3])
def test_deleting_the_latest_version_leaves_the_others(client: hvac.Client, v2_mount: str, written: int) -> None:
    write(client, v2_mount, versions=written)
    assert client.secrets.kv.v2.delete_latest_version_of_secret("hvac", mount_point=v2_mount).status_code == 204
    assert states(client, v2_mount) == {number: "deleted" if number == written else "live" for number in range(1, written + 1)}


def test_a_deleted_version_raises_or_answers_with_its_metadata(client: hvac.Client, v2_mount: str) -> None:
    write(client, v2_mount)
    client.secrets.kv.v2.delete_latest_version_of_secret("hvac", mount_point=v2_mount)
    with pytest.raises(exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret("hvac", mount_point=v2_mount, raise_on_deleted_version=True)
    read = client.secrets.kv.v2.read_secret_version("hvac", mount_point=v2_mount, raise_on_deleted_version=False)
    assert read["data"]["data"] is None
    assert read["data"]["metadata"]["deletion_time"] and read["data"]["metadata"]["destroyed"] is False


def test_deleting_what_is_not_there_makes_nothing(client: hvac.Client, v2_mount: str) -> None:
    assert client.secrets.kv.v2.delete_latest_version_of_secret("no-secret-here", mount_point=v2_mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret_metadata("no-secret-here", mount_point=v2_mount)


@pytest.mark.parametrize(
    ("written", "named"), [(1, [1]), (2, [1]), (2, [2]), (2, [1, 2]), (7, [1, 3, 5]), (7, [1, 3, 7]), (3, [5]), (3, [7, 12])]
)
def test_named_versions_are_deleted_undeleted_and_destroyed(client: hvac.Client, v2_mount: str, written: int, named: list[int]) -> None:
    write(client, v2_mount, versions=written)
    for act, state in (
        (client.secrets.kv.v2.delete_secret_versions, "deleted"),
        (client.secrets.kv.v2.undelete_secret_versions, "live"),
        (client.secrets.kv.v2.destroy_secret_versions, "destroyed"),
        (client.secrets.kv.v2.undelete_secret_versions, "destroyed"),
    ):
        assert act("hvac", named, mount_point=v2_mount).status_code == 204
        assert states(client, v2_mount) == {number: state if number in named else "live" for number in range(1, written + 1)}


@pytest.mark.parametrize("versions", [None, [], "1"])
def test_version_lists_are_checked_by_the_client(client: hvac.Client, v2_mount: str, versions: Any) -> None:
    with pytest.raises(exceptions.ParamValidationError):
        client.secrets.kv.v2.delete_secret_versions("hvac", versions, mount_point=v2_mount)
    with pytest.raises(exceptions.ParamValidationError):
        client.secrets.kv.v2.undelete_secret_versions("hvac", versions, mount_point=v2_mount)
    with pytest.raises(exceptions.ParamValidationError):
        client.secrets.kv.v2.destroy_secret_versions("hvac", versions, mount_point=v2_mount)


def test_a_list_shows_keys_and_folders_sorted(client: hvac.Client, v2_mount: str) -> None:
    for path in ("list/b/c", "list/a", "list/b"):
        write(client, v2_mount, path)
    client.secrets.kv.v2.delete_latest_version_of_secret("list/a", mount_point=v2_mount)
    assert client.secrets.kv.v2.list_secrets("list", mount_point=v2_mount)["data"] == {"keys": ["a", "b", "b/"]}
    assert client.secrets.kv.v2.list_secrets("", mount_point=v2_mount)["data"] == {"keys": ["list/"]}
    with pytest.raises(exceptions.InvalidPath):
        client.secrets.kv.v2.list_secrets("nowhere", mount_point=v2_mount)


def test_metadata_shows_every_field_of_a_secret(client: hvac.Client, v2_mount: str) -> None:
    write(client, v2_mount, versions=2)
    metadata = client.secrets.kv.v2.read_secret_metadata("hvac", mount_point=v2_mount)["data"]
    versions = metadata.pop("versions")
    assert metadata.pop("created_time") < metadata.pop("updated_time")
    expected = {"cas_required": False, "current_version": 2, "custom_metadata": None, "delete_version_after": "0s"}
    assert metadata.items() >= {**expected, "max_versions": 0, "oldest_version": 0}.items()
    assert versions.keys() == {"1", "2"} and versions["1"].keys() >= {"created_time", "deletion_time", "destroyed"}


@pytest.mark.parametrize("cas_required", [None, True, False])
@pytest.mark.parametrize("max_versions", [None, 1, 10])
def test_metadata_is_read_back_as_updated(client: hvac.Client, v2_mount: str, max_versions: int | None, cas_required: bool | None) -> None:
    write(client, v2_mount)
    settings = {"delete_version_after": "30m0s", "custom_metadata": {"owner": "team"}}
    updated = client.secrets.kv.v2.update_metadata("hvac", max_versions, cas_required, mount_point=v2_mount, **settings)
    assert updated.status_code == 204
    metadata = client.secrets.kv.v2.read_secret_metadata("hvac", mount_point=v2_mount)["data"]
    assert (metadata["max_versions"], metadata["cas_required"]) == (max_versions or 0, bool(cas_required))
    assert (metadata["delete_version_after"], metadata["custom_metadata"]) == ("30m0s", {"owner": "team"})


def test_metadata_may_come_before_the_secret(client: hvac.Client, v2_mount: str) -> None:
    assert client.secrets.kv.v2.update_metadata("early", 3, mount_point=v2_mount).status_code == 204
    metadata = client.secrets.kv.v2.read_secret_metadata("early", mount_point=v2_mount)["data"]
    assert (metadata["current_version"], metadata["versions"]) == (0, {})


@pytest.mark.parametrize("wrong", [{"cas_required": "yes"}, {"custom_metadata": "text"}])
def test_metadata_of_a_wrong_type_is_refused_by_the_client(client: hvac.Client, v2_mount: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(exceptions.ParamValidationError):
        client.secrets.kv.v2.update_metadata("hvac", mount_point=v2_mount, **wrong)


def test_only_the_newest_versions_are_kept(client: hvac.Client, v2_mount: str) -> None:
    client.secrets.kv.v2.configure(max_versions=2, mount_point=v2_mount)
    write(client, v2_mount, versions=4)
    assert states(client, v2_mount) == {3: "live", 4: "live"}
    assert client.secrets.kv.v2.read_secret_metadata("hvac", mount_point=v2_mount)["data"]["oldest_version"] == 3


@pytest.mark.parametrize("written", [1, 2, 5])
def test_deleting_the_metadata_leaves_nothing(client: hvac.Client, v2_mount: str, written: int) -> None:
    write(client, v2_mount, versions=written)
    assert client.secrets.kv.v2.delete_metadata_and_all_versions("hvac", mount_point=v2_mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        client.secrets.kv.v2.read_secret_metadata("hvac", mount_point=v2_mount)
    write(client, v2_mount)
    assert states(client, v2_mount) == {1: "live"}


def test_a_path_without_data_or_metadata_says_what_is_wrong(client: hvac.Client, v2_mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath) as refused:
        client.secrets.kv.v1.read_secret("hvac", mount_point=v2_mount)
    assert "Invalid path for a versioned K/V secrets engine" in refused.value.text


def test_the_category_chooses_its_default_version(client: hvac.Client, v2_mount: str) -> None:
    client.secrets.kv.default_kv_version = "2"
    client.secrets.kv.create_or_update_secret("hvac", {"a": "1"}, mount_point=v2_mount)
    assert client.secrets.kv.read_secret("hvac", mount_point=v2_mount, raise_on_deleted_version=True)["data"]["data"] == {"a": "1"}
