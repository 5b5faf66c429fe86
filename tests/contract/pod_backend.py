"""What `PodBackend` promises, as tests.

An implementation's test module subclasses `PodBackendContract` and gives three fixtures:

- `make_backend`: called with an instance id, a new backend that is not entered yet; all of one test see the same pods.
- `namespace`: where it may make pods.
- `image`: an image with `/bin/sh`; a backend that uses no image may be given any.

Only what the port says is asserted: a Kubernetes pod's end may come with phase Running, a local one's never does.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.errors import LeaseExpired, LogUnavailable, PodRefused
from app.domain.pods import ContainerPhase
from tests.contract.bench import FOREVER, MakeBackend, allow, deny, enter, new_id, split_log

__all__ = ["MakeBackend", "PodBackendContract"]


class PodBackendContract:
    """The suite."""

    @pytest.fixture
    def enter_backend(self, make_backend: MakeBackend, namespace: str, image: str):
        """Enter a backend: `async with enter_backend() as bench`, of one instance unless told otherwise."""
        own = new_id("instance")
        return lambda instance=own: enter(make_backend, instance, namespace, image)

    # -- outcomes ----------------------------------------------------------------------------------------------------------

    async def test_create__main_exits_with_code__observed_running_then_error(self, enter_backend):
        async with enter_backend() as bench:
            before = datetime.now(UTC) - timedelta(seconds=2)
            pod = await bench.run("sleep 2.5; exit 3")  # one that is quick may never be seen running
            assert (pod.name, pod.exists, pod.key.attempt) == (bench.refs[0].name, True, 1)
            started = await bench.seen.wait_for_start(pod.uid)
            assert started.main is not None
            assert started.main.phase is ContainerPhase.RUNNING
            assert started.node
            main = await bench.seen.wait_for_end(pod.uid)
            assert (main.exit_code, main.reason) == (3, "Error")
            assert main.started_at is not None
            assert main.finished_at is not None
            assert before < main.started_at < main.finished_at < datetime.now(UTC) + timedelta(seconds=1)

    async def test_create__main_exits_with_zero__completed_and_then_succeeded(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("exit 0")
            main = await bench.seen.wait_for_end(pod.uid)
            assert (main.exit_code, main.reason) == (0, "Completed")
            await bench.seen.wait_for(pod.uid, lambda o: o.phase == "Succeeded")

    async def test_create__missing_executable__start_error_in_the_runtimes_words(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.create(bench.manifest(["Python", "-c", "print()"]))
            main = await bench.seen.wait_for_end(pod.uid)
            assert (main.exit_code, main.reason) == (128, "StartError")
            assert 'exec: "Python": executable file not found in $PATH' in main.message

    async def test_create__termination_message__is_the_containers_message(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("""printf '{"x": 1}' > "$PODRUN_OUTPUTS" """)
            main = await bench.seen.wait_for_end(pod.uid)
            assert (main.exit_code, main.message) == (0, '{"x": 1}')

    async def test_create__active_deadline__pod_fails_with_deadline_exceeded(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.create(bench.manifest(FOREVER, pod={"activeDeadlineSeconds": 1}))
            failed = await bench.seen.wait_for(pod.uid, lambda o: o.phase == "Failed")
            assert failed.reason == "DeadlineExceeded"
            assert failed.message

    async def test_create__env_and_working_dir__as_kubernetes_expands_them(self, enter_backend):
        env = [{"name": "A", "value": "a$$(B)"}, {"name": "B", "value": "<$(A)>$(MISSING)"}]
        async with enter_backend() as bench:
            command = ["sh", "-c", 'printf "%s|" "$A" "$B" "$@"; pwd', "sh"]
            pod = await bench.create(bench.manifest(command, args=["$(B)", "$$(A)"], env=env, workingDir="/tmp"))
            assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 0
            _, text = split_log(await bench.read(pod.ref))
            assert text == b"a$(B)|<a$(B)>$(MISSING)|<a$(B)>$(MISSING)|$(A)|/tmp\n"

    # -- creation ----------------------------------------------------------------------------------------------------------

    async def test_create__twice__adopts_the_same_pod(self, enter_backend):
        async with enter_backend() as bench:
            manifest = bench.manifest(FOREVER)
            first = await bench.create(manifest)
            second = await bench.create(manifest)
            assert second.ref == first.ref

    async def test_create__name_taken_by_another_attempt__refused_as_conflict(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.create(bench.manifest(FOREVER))
            with pytest.raises(PodRefused) as refused:
                await bench.create(bench.manifest(FOREVER, name=pod.name, attempt=2))
            assert refused.value.reason == "PodNameConflict"
            assert pod.name in refused.value.message

    async def test_create__invalid_name__refused(self, enter_backend):
        async with enter_backend() as bench:
            with pytest.raises(PodRefused) as refused:
                await bench.create(bench.manifest(FOREVER, name="Not_A_Name"))
            assert refused.value.reason == "Invalid"

    async def test_create__guard_raises__nothing_is_created(self, enter_backend):
        async with enter_backend() as bench:
            manifest = bench.manifest(["sh", "-c", "exit 0"])
            with pytest.raises(LeaseExpired):
                await bench.backend.create_pod(manifest, deny)
            other = await bench.run("exit 0")
            await bench.seen.wait_for_end(other.uid)  # by then the first would have been seen
            assert bench.backend.find_pod(other.namespace, manifest["metadata"]["name"]) is None

    async def test_find_pod__created_and_missing__last_seen_or_none(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.create(bench.manifest(FOREVER))
            await bench.seen.wait_for_start(pod.uid)
            found = bench.backend.find_pod(pod.namespace, pod.name)
            assert found is not None
            assert (found.ref, found.key) == (pod.ref, pod.key)
            assert bench.backend.find_pod(pod.namespace, "nobody") is None
            assert bench.backend.list_pods(pod.namespace, pod.key.run_id) == [found]
            assert bench.backend.list_pods(pod.namespace, "another-run") == []

    async def test_check__backend_is_well__none(self, enter_backend):
        async with enter_backend() as bench:
            assert await bench.backend.check() is None

    # -- deletion ----------------------------------------------------------------------------------------------------------

    async def test_delete__running_pod__term_is_honoured_and_the_pod_goes(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.1; done")
            await bench.follow_until(pod.ref, b"ready\n")
            await bench.backend.delete_pod(pod.ref, allow, grace_seconds=20)
            leaving = await bench.seen.wait_for(pod.uid, lambda o: o.deletion_at is not None)
            assert leaving.deletion_at is not None
            assert leaving.deletion_at > datetime.now(UTC)
            assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 7
            await bench.seen.wait_for_gone(pod.uid)

    async def test_delete__main_ignores_term__killed_after_its_grace_period(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("trap '' TERM; echo ready; while :; do sleep 0.1; done")
            await bench.follow_until(pod.ref, b"ready\n")
            await bench.backend.delete_pod(pod.ref, allow)
            main = await bench.seen.wait_for_end(pod.uid)
            assert (main.exit_code, main.reason) == (137, "Error")
            await bench.seen.wait_for_gone(pod.uid)

    async def test_delete__ended_pod__gone_with_its_log(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("echo hello")
            await bench.seen.wait_for_end(pod.uid)
            await bench.backend.delete_pod(pod.ref, allow)
            await bench.seen.wait_for_gone(pod.uid)
            assert bench.backend.find_pod(pod.namespace, pod.name) is None
            with pytest.raises(LogUnavailable) as unavailable:
                await bench.read(pod.ref)
            assert unavailable.value.gone
            await bench.backend.delete_pod(pod.ref, allow)  # again: no error

    async def test_delete__wrong_uid__touches_nothing(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("sleep 1; exit 5")
            await bench.seen.wait_for_start(pod.uid)
            await bench.backend.delete_pod(pod.ref._replace(uid=str(uuid.uuid4())), allow)
            assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 5

    async def test_delete__guard_raises__pod_goes_on(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("sleep 1; exit 5")
            await bench.seen.wait_for_start(pod.uid)
            with pytest.raises(LeaseExpired):
                await bench.backend.delete_pod(pod.ref, deny)
            assert (await bench.seen.wait_for_end(pod.uid)).exit_code == 5

    # -- logs --------------------------------------------------------------------------------------------------------------

    async def test_read_log__any_bytes_and_no_line_feed_at_the_end__byte_for_byte(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run(r"echo one; echo; echo two >&2; sleep 0.2; printf 'x\377\376\000\033[31my\nend'")
            await bench.seen.wait_for_end(pod.uid)
            seconds, text = split_log(await bench.read(pod.ref))
            lines = [b"one", b"", b"two", b"x\xff\xfe\x00\x1b[31my", b"end"]
            assert sorted(text.split(b"\n")) == sorted(lines)  # which stream's line comes first is not promised
            assert text.endswith(b"y\nend")
            assert len(seconds) == len(lines)

    async def test_read_log__line_of_a_megabyte__has_one_stamp(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run(r"head -c 1000000 /dev/zero | tr '\0' x; echo; echo end")
            await bench.seen.wait_for_end(pod.uid)
            seconds, text = split_log(await bench.read(pod.ref))
            assert len(seconds) == 2
            assert text == b"x" * 1_000_000 + b"\nend\n"

    async def test_read_log__since__from_that_second_on(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("echo one; sleep 2.1; echo two")
            await bench.seen.wait_for_end(pod.uid)
            (first, second), _ = split_log(await bench.read(pod.ref))
            for stamp, expected in ((first, b"one\ntwo\n"), (second, b"two\n")):
                since = datetime.fromisoformat(stamp).replace(tzinfo=UTC, microsecond=999_999)
                assert split_log(await bench.read(pod.ref, since))[1] == expected
            assert await bench.read(pod.ref, datetime.now(UTC) + timedelta(hours=1)) == b""

    async def test_follow_log__lines_come_as_they_are_written__whole_at_the_end(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.run("echo first; sleep 4; for i in 1 2 3 4 5; do echo line $i; done; echo last")
            await bench.seen.wait_for_start(pod.uid)
            early = await bench.follow_until(pod.ref, b"first\n")
            assert b"last" not in early
            whole = await bench.follow_until(pod.ref, b"last\n")
            await bench.seen.wait_for_end(pod.uid)
            assert whole == await bench.read(pod.ref)
            assert split_log(whole)[1] == b"first\nline 1\nline 2\nline 3\nline 4\nline 5\nlast\n"

    async def test_read_log__unknown_container__unavailable(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.create(bench.manifest(FOREVER))
            await bench.seen.wait_for_start(pod.uid)
            with pytest.raises(LogUnavailable):
                [_ async for _ in bench.backend.read_log(pod.ref, "nobody", None)]

    # -- restarts and neighbours -------------------------------------------------------------------------------------------

    async def test_second_backend__running_and_ended_pods__found_and_followed_to_the_end(self, enter_backend):
        async with enter_backend() as bench:
            running = await bench.run("echo before; sleep 2; echo after; exit 4")
            ended = await bench.run("echo done")
            await bench.seen.wait_for_start(running.uid)
            await bench.seen.wait_for_end(ended.uid)
            left, bench.refs = bench.refs, []
        async with enter_backend() as later:
            later.refs = left
            found = later.backend.find_pod(running.namespace, running.name)
            assert found is not None
            assert found.ref == running.ref
            assert (await later.seen.wait_for_end(ended.uid)).exit_code == 0
            assert split_log(await later.follow_until(running.ref, b"after\n"))[1] == b"before\nafter\n"
            assert (await later.seen.wait_for_end(running.uid)).exit_code == 4

    async def test_second_backend__deletes_what_the_first_made__gone(self, enter_backend):
        async with enter_backend() as bench:
            pod = await bench.create(bench.manifest(FOREVER))
            await bench.seen.wait_for_start(pod.uid)
            bench.refs = []
        async with enter_backend() as later:
            await later.backend.delete_pod(pod.ref, allow)
            await later.seen.wait_for_gone(pod.uid)

    async def test_other_instance__its_pods__are_not_seen(self, enter_backend):
        async with enter_backend() as bench, enter_backend(new_id("instance")) as other:
            pod = await bench.run("exit 0")
            await bench.seen.wait_for_end(pod.uid)
            own = await other.run("exit 0")
            await other.seen.wait_for_end(own.uid)
            assert pod.uid not in {observation.uid for observation in other.seen.observations}
            assert other.backend.find_pod(pod.namespace, pod.name) is None
