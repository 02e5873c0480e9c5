"""Checkpoints behind URLs, with a daemon: the client reads them, or the daemon does where it is allowed to.

CAIRN_BIN and CAIRND_BIN name the binaries. The S3 server is moto's, which checks signatures; the judges of bytes are boto3
and safetensors. All servers are on this machine.
"""

import json
import subprocess
import threading

import pytest
from arrays import same
from programs import CAIRND, Daemon, environment, needs_both
from safetensors.numpy import load, load_file, save, save_file
from url_fixtures import CLEAN, s3, server, started, state  # noqa: F401, F811
from url_servers import FileServer, unavailable, until_the_client_leaves

pytestmark = needs_both


@pytest.fixture
def daemon(tmp_path_factory, server, s3):
    """With the credentials for S3, which its clients have only where a test gives them."""
    allowed = f"{server.base}/models/,s3://models/team/"
    daemon = Daemon(tmp_path_factory.mktemp("d"), "--allowed-urls", allowed, variables=CLEAN, **s3.environment())
    yield daemon
    daemon.stop()


def test_a_url_is_pushed_and_a_second_push_sends_nothing(daemon, server, s3, state):
    server.files["/x.safetensors"] = save(state)
    s3.put("x.safetensors", save(state))
    for source in (server.url("/x.safetensors"), "s3://models/x.safetensors"):
        ref = f"team/{source[:2]}@1"
        daemon.ok("push", source, ref, **s3.environment())
        assert json.loads(daemon.ok("push", source, ref, "--json", **s3.environment()).stdout)["already_there"]
        daemon.ok("diff", source, ref, **s3.environment())
    # Another state of the file is another push.
    server.files["/x.safetensors"] = save({"step": state["step"]})
    assert "exists" in daemon.refused("push", server.url("/x.safetensors"), "team/ht@1")


def test_a_ref_is_pulled_into_s3(daemon, s3, state, tmp_path):
    save_file(state, tmp_path / "in.safetensors")
    daemon.ok("push", tmp_path / "in.safetensors", "team/pulled@1")
    daemon.ok("pull", "team/pulled@1", "s3://models/pulled.safetensors", **s3.environment())
    same(state, load(s3.get("pulled.safetensors")))


def test_diffs_are_made_from_urls_go_to_one_and_come_back_from_it(daemon, server, s3, state, tmp_path):
    target = {name: array.copy() for name, array in state.items()}
    first = next(iter(target))
    target[first] = target[first] + target[first].dtype.type(1)
    server.files["/models/base.safetensors"], server.files["/models/target.safetensors"] = save(state), save(target)
    base, tuned = (f"{server.url(f'/models/{name}.safetensors')}?token=s3cret" for name in ("base", "target"))
    here, there = "s3://models/here.cairndiff", "server::s3://models/team/there.cairndiff"
    said = [
        daemon.ok("diff", base, tuned, "--output", here, **s3.environment()),
        daemon.ok("recover", base, here, tmp_path / "here.safetensors", **s3.environment()),
        daemon.ok("diff", f"server::{base}", f"server::{tuned}", "--output", there),
        daemon.ok("recover", f"server::{base}", there, "ref::team/recovered@1"),
        daemon.ok("pull", "team/recovered@1", tmp_path / "there.safetensors"),
    ]
    assert s3.get("here.cairndiff") == s3.get("team/there.cairndiff")
    texts = [result.stdout + result.stderr for result in said] + [daemon.log.read_text(), str(s3.get("here.cairndiff"))]
    assert not any("s3cret" in text for text in texts)
    for place in ("here", "there"):
        same(target, load_file(tmp_path / f"{place}.safetensors"))


def test_the_daemon_reads_and_writes_what_is_allowed(daemon, server, s3, state):
    server.files["/models/m.safetensors"] = save(state)
    daemon.ok("convert", f"server::{server.url('/models/m.safetensors')}?token=s3cret", "ref::team/run@1")
    daemon.ok("convert", "ref::team/run@1", "server::s3://models/team/out.safetensors")
    same(state, load(s3.get("team/out.safetensors")))
    daemon.ok("convert", "server::s3://models/team/out.safetensors", "ref::team/run@2")
    daemon.ok("diff", "team/run@1", "team/run@2")
    assert "s3cret" not in daemon.log.read_text()


def test_the_daemon_asks_nobody_for_what_is_not_allowed(daemon, server, s3, state, tmp_path):
    other = FileServer({"/models/m.safetensors": save(state)})
    server.files["/secret.safetensors"] = server.files["/models.safetensors"] = save(state)
    s3.put("other/m.safetensors", save(state))
    try:
        for url in (other.url("/models/m.safetensors"), server.url("/secret.safetensors"), server.url("/models.safetensors"), f"{server.base}/models/../secret.safetensors", f"{server.base}/models/%2e%2e/secret.safetensors",
                    server.url("/models/m.safetensors").replace("http://", "http://a:b@"), "s3://models/other/m.safetensors", "s3://models/team/../other/m.safetensors", "http://169.254.169.254/latest/"):
            assert "allow" in daemon.refused("convert", f"server::{url}", "ref::team/no@1"), url
            assert "allow" in daemon.refused("convert", f"server::safetensors::{url}", "ref::team/no@1"), url
        save_file(state, tmp_path / "in.safetensors")
        daemon.ok("push", tmp_path / "in.safetensors", "team/run@1")
        for target in ("s3://models/other/out.safetensors", "s3://models/team/../out.safetensors", "s3://models/teams.safetensors", "s3://others/team/out.safetensors"):
            assert "allow" in daemon.refused("convert", "ref::team/run@1", f"server::{target}"), target
            assert "allow" in daemon.refused("diff", "team/run@1", "team/run@1", "--output", f"server::{target}"), target
        assert not s3.keys("other/out") and not s3.keys("out.safetensors") and not s3.keys("teams")
        assert not server.log and not other.log
    finally:
        other.close()


def test_the_daemon_follows_no_redirect_to_what_is_not_allowed(daemon, server, state):
    other = FileServer({"/models/m.safetensors": save(state)})
    try:
        server.redirects["/models/away.safetensors"] = other.url("/models/m.safetensors")
        server.files["/secret.safetensors"] = save(state)
        server.redirects["/models/up.safetensors"] = "/secret.safetensors"
        server.redirects["/models/within.safetensors"] = "/models/m.safetensors"
        server.files["/models/m.safetensors"] = save(state)
        for name in ("away", "up"):
            assert "redirects elsewhere" in daemon.refused("convert", f"server::{server.url(f'/models/{name}.safetensors')}", "ref::team/no@1")
        assert not other.log and "/secret.safetensors" not in [path for path, _, _ in server.log]
        daemon.ok("convert", f"server::{server.url('/models/within.safetensors')}", "ref::team/yes@1")
    finally:
        other.close()


def test_an_index_leads_the_daemon_nowhere_else(daemon, server, state):
    server.files["/models/a.safetensors"] = server.files["/secret.safetensors"] = save(state)
    server.files["/models/model.safetensors.index.json"] = json.dumps({"weight_map": {key: "../secret.safetensors" for key in state}}).encode()
    daemon.refused("convert", f"server::{server.url('/models/model.safetensors.index.json')}", "ref::team/no@1")
    assert "/secret.safetensors" not in [path for path, _, _ in server.log]


@pytest.mark.parametrize("work", [["convert", "URL", "ref::team/gone@1"], ["diff", "URL", "team/there@1"], ["diff", "team/there@1", "URL", "--output", "team/delta@1"], ["recover", "team/there@1", "URL", "team/gone@1"]], ids=lambda work: work[0])
def test_the_daemon_leaves_a_server_when_its_caller_goes_away(daemon, server, state, tmp_path, work):
    save_file(state, tmp_path / "in.safetensors")
    daemon.ok("push", tmp_path / "in.safetensors", "team/there@1")
    server.files["/models/m.safetensors"] = save(state)
    reached, left = threading.Event(), threading.Event()
    server.faults["/models/m.safetensors"].extend([until_the_client_leaves(reached, left)] * 10)
    process = started(*[f"server::{server.url('/models/m.safetensors')}" if word == "URL" else word for word in work], server=daemon.server)
    assert reached.wait(timeout=60), process.poll()
    process.kill()
    process.wait(timeout=60)
    process.stderr.close()
    # Long before it would have given the server up.
    assert left.wait(timeout=20)


def test_the_daemon_compares_what_is_behind_a_url_with_a_checkpoint(daemon, server, state, tmp_path):
    save_file(state, tmp_path / "in.safetensors")
    daemon.ok("push", tmp_path / "in.safetensors", "team/same@1")
    server.files["/models/m.safetensors"] = (tmp_path / "in.safetensors").read_bytes()
    url = f"server::{server.url('/models/m.safetensors')}?token=s3cret"
    daemon.ok("diff", url, "team/same@1")
    daemon.ok("diff", "team/same@1", url, "--output", "team/nothing@1")
    assert "s3cret" not in daemon.ok("show", "team/nothing@1", "--json").stdout


@pytest.mark.parametrize("work", [["convert", "URL", "ref::team/none@1"], ["diff", "URL", "team/same@1"], ["recover", "team/same@1", "URL", "team/none@1"]], ids=lambda work: work[0])
def test_a_server_that_the_daemon_gave_up_is_not_asked_again_for_the_same_call(daemon, server, state, tmp_path, work):
    save_file(state, tmp_path / "in.safetensors")
    daemon.ok("push", tmp_path / "in.safetensors", "team/same@1")
    server.faults["/models/m.safetensors"].extend([unavailable] * 100)
    said = daemon.refused(*[f"server::{server.url('/models/m.safetensors')}" if word == "URL" else word for word in work])
    assert "503" in said and "tried 6 times" in said
    assert len(server.log) == 6


def test_a_daemon_without_the_option_refuses_every_url(tmp_path_factory, server, s3, state):
    server.files["/m.safetensors"] = save(state)
    daemon = Daemon(tmp_path_factory.mktemp("d"), variables=CLEAN, **s3.environment())
    try:
        for url in (server.url("/m.safetensors"), "s3://models/m.safetensors"):
            assert "--allowed-urls" in daemon.refused("convert", f"server::{url}", "ref::a/b@1")
        assert not server.log
    finally:
        daemon.stop()


def test_the_daemon_refuses_prefixes_that_are_none(tmp_path):
    for bad in ("models", "https://u:p@h/", "https://h/?x=1"):
        result = subprocess.run([CAIRND, "--data-dir", tmp_path / "data", "--listen=", "--unix-socket", tmp_path / "s", "--allowed-urls", bad], capture_output=True, text=True, env=environment(variables=CLEAN), timeout=60)
        assert result.returncode != 0 and "u:p" not in result.stderr
