"""Checkpoints behind URLs: sources over http and S3, targets in S3, from the command line.

CAIRN_BIN names the binary. The S3 server is moto's, which checks signatures; the judges of bytes are boto3,
safetensors and torch. All servers are on this machine.
"""

import json
import resource
import signal
import subprocess

import numpy as np
import pytest
import torch
from arrays import same
from measured import Launcher
from programs import CAIRN, environment, needs_cairn
from safetensors.numpy import load, load_file, save, save_file
from url_fixtures import CLEAN, NOT_FOUND, PRECONDITION, UNREACHABLE, USAGE, cairn, done, large, refused, s3, server, started, state  # noqa: F401, F811
from url_servers import FileServer, Gate, S3Server, another_range, drop_in_the_middle, ignore_range, replaced_by, reset, stall, unavailable, with_answer

pytestmark = needs_cairn


@pytest.fixture
def sharded(server, state, tmp_path):
    """A Hugging Face folder of shards, on the server and here."""
    folder = tmp_path / "hf"
    folder.mkdir()
    names = sorted(state)
    halves = {"model-00001-of-00002.safetensors": names[:4], "model-00002-of-00002.safetensors": names[4:]}
    for file, keys in halves.items():
        save_file({key: state[key] for key in keys}, folder / file)
    index = {"metadata": {}, "weight_map": {key: file for file, keys in halves.items() for key in keys}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text('{"hidden_size": 700}')
    for path in folder.iterdir():
        server.files[f"/org/model/resolve/main/{path.name}"] = path.read_bytes()
    return folder


# Over http.


def test_a_sharded_model_over_http_becomes_the_easylm_file_that_its_copy_here_becomes(server, sharded, tmp_path):
    url = server.url("/org/model/resolve/main/model.safetensors.index.json")
    done("convert", url, f"params::{tmp_path}/over_http", "--drop-unsupported")
    done("convert", sharded, f"params::{tmp_path}/from_here", "--drop-unsupported")
    assert (tmp_path / "over_http").read_bytes() == (tmp_path / "from_here").read_bytes()


def test_configurations_beside_an_index_over_http_are_found(server, sharded, state, tmp_path):
    done("convert", server.url("/org/model/resolve/main/model.safetensors.index.json"), f"{tmp_path}/copy/", "--to", "safetensors")
    same(state, load_file(tmp_path / "copy/model.safetensors"))
    assert (tmp_path / "copy/config.json").read_bytes() == (sharded / "config.json").read_bytes()


def test_an_index_cannot_name_what_is_not_beside_it(server, state):
    for evil in ("../secret.safetensors", "/secret.safetensors", "http://127.0.0.1:1/x.safetensors", "a/../../secret.safetensors"):
        server.files["/secret.safetensors"] = server.files["/dir/secret.safetensors"] = save(state)
        server.files["/dir/model.safetensors.index.json"] = json.dumps({"weight_map": {key: evil for key in state}}).encode()
        assert cairn("show", server.url("/dir/model.safetensors.index.json")).returncode != 0
    assert not [path for path, _, _ in server.log if "secret" in path and ".." not in path]


def test_showing_a_file_takes_few_requests_and_few_bytes(server, large):
    server.files["/large.safetensors"] = save(large)
    done("show", server.url("/large.safetensors"))
    assert len(server.log) <= 3 and server.sent <= 256 << 10


def test_reading_a_file_takes_each_byte_about_once_and_in_large_requests(server, large, tmp_path):
    body = server.files["/large.safetensors"] = save(large)
    done("convert", server.url("/large.safetensors"), tmp_path / "out.safetensors")
    same(large, load_file(tmp_path / "out.safetensors"))
    assert server.sent <= 1.1 * len(body) and len(server.log) <= 20


def test_torch_files_are_read_over_http(server, tmp_path):
    tensors = {"a": torch.randn(500, 300), "b": torch.arange(10)}
    torch.save(tensors, tmp_path / "model.pt")
    server.files["/model.pt"] = (tmp_path / "model.pt").read_bytes()
    done("convert", server.url("/model.pt"), tmp_path / "out.safetensors")
    same({name: tensor.numpy() for name, tensor in tensors.items()}, load_file(tmp_path / "out.safetensors"))


@pytest.mark.parametrize("faults", [[unavailable, unavailable], [None, drop_in_the_middle, drop_in_the_middle], [reset, None, reset], [drop_in_the_middle]])
def test_what_fails_for_a_while_is_tried_again(server, large, tmp_path, faults):
    server.files["/m.safetensors"] = save(large)
    server.faults["/m.safetensors"].extend(faults)
    done("convert", server.url("/m.safetensors"), tmp_path / "out.safetensors")
    same(large, load_file(tmp_path / "out.safetensors"))
    # What came before a break is not asked for again.
    assert server.sent <= 1.2 * len(server.files["/m.safetensors"])


def test_a_server_that_stands_still_is_left_and_asked_again(server, state, tmp_path):
    server.files["/m.safetensors"] = save(state)
    server.faults["/m.safetensors"].extend([None, stall])
    done("convert", server.url("/m.safetensors"), tmp_path / "out.safetensors", CAIRN_URL_TIMEOUT="1")
    same(state, load_file(tmp_path / "out.safetensors"))


def test_what_stays_broken_ends_after_some_tries(server, state):
    server.files["/m.safetensors"] = save(state)
    server.faults["/m.safetensors"].extend([unavailable] * 100)
    said = refused(UNREACHABLE, "show", server.url("/m.safetensors"))
    assert "503" in said and "tried 6 times" in said and "daemon" not in said
    assert len(server.log) == 6


def test_a_file_that_is_missing_is_not_tried_again(server):
    assert "404" in refused(NOT_FOUND, "show", server.url("/nothing.safetensors"))
    assert len(server.log) == 1


@pytest.mark.parametrize(
    "fault, words",
    [
        (ignore_range, "no ranges"),
        (another_range, "asked for bytes"),
        (with_answer(content_range="bytes 0-70000/*"), "Content-Range"),
        (with_answer(headers=[("Content-Encoding", "gzip")]), "gzip"),
        (with_answer(etag='"another"'), "has changed"),
        (with_answer(extra=b"more"), "more than"),
    ],
)
def test_answers_that_are_not_what_was_asked_for_are_refused(server, large, tmp_path, fault, words):
    server.files["/m.safetensors"] = save(large)
    server.faults["/m.safetensors"].extend([None] + [fault] * 10)
    assert words in refused(PRECONDITION, "convert", server.url("/m.safetensors"), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_server_without_ranges_is_refused_before_the_file_comes_but_small_files_are_taken(server, large, state, tmp_path):
    server.files["/m.safetensors"] = save(large)
    server.faults["/m.safetensors"].extend([ignore_range])
    assert "no ranges" in refused(PRECONDITION, "show", server.url("/m.safetensors"))
    small = {"step": state["step"]}
    server.files["/small.safetensors"] = save(small)
    server.faults["/small.safetensors"].extend([ignore_range])
    done("convert", server.url("/small.safetensors"), tmp_path / "small.safetensors")
    same(small, load_file(tmp_path / "small.safetensors"))


def test_a_file_that_is_replaced_while_it_is_read_is_never_mixed(server, large, tmp_path):
    other = save({name: tensor[::-1].copy() for name, tensor in large.items()})
    server.files["/m.safetensors"] = save(large)
    server.faults["/m.safetensors"].extend([None, None, replaced_by(other)])
    assert "has changed" in refused(PRECONDITION, "convert", server.url("/m.safetensors"), tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_size_that_is_a_lie_takes_no_memory(server, state):
    body = save(state)
    server.files["/m.safetensors"] = body
    server.faults["/m.safetensors"].extend([with_answer(content_range=f"bytes 0-65535/{1 << 62}", length=1 << 50)] * 10)
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    result = subprocess.run([CAIRN, "show", server.url("/m.safetensors")], capture_output=True, text=True, env=environment(variables=CLEAN), timeout=60, preexec_fn=limit)
    assert result.returncode in (1, PRECONDITION, 5, UNREACHABLE), result.stderr


def test_redirects_are_followed_without_credentials_for_others(server, state, tmp_path):
    other = FileServer({"/cdn/blob": save(state)})
    try:
        server.redirects["/org/m.safetensors"] = other.url("/cdn/blob") + "?signature=s3cret"
        url = server.url("/org/m.safetensors").replace("http://", "http://me:pass@")
        done("convert", url, tmp_path / "out.safetensors")
        same(state, load_file(tmp_path / "out.safetensors"))
        assert all("Authorization" in headers for _, _, headers in server.log)
        assert other.log and not any("Authorization" in headers for _, _, headers in other.log)
        # The place that a redirect gave is used again, and only for a while is the first one asked.
        assert len(server.log) < len(other.log) or len(server.log) == 1
    finally:
        other.close()


def test_certificates_are_checked(state, tmp_path):
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem", *names], check=True, capture_output=True)
    server = FileServer({"/m.safetensors": save(state)}, certificate=(tmp_path / "cert.pem", tmp_path / "key.pem"))
    plain = FileServer({"/m.safetensors": save(state)})
    try:
        said = refused(UNREACHABLE, "show", server.url("/m.safetensors"))
        assert "certificate" in said and "SSL_CERT_FILE" in said and not server.log
        for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE"):
            done("show", server.url("/m.safetensors"), **{name: str(tmp_path / "cert.pem")})
        # What came in secret is not asked for again in the open.
        server.redirects["/open.safetensors"] = plain.url("/m.safetensors")
        assert "not encrypted" in refused(PRECONDITION, "show", server.url("/open.safetensors"), SSL_CERT_FILE=str(tmp_path / "cert.pem"))
        assert not plain.log
    finally:
        server.close()
        plain.close()


def test_redirects_in_a_circle_end(server):
    server.redirects["/a"] = "/b"
    server.redirects["/b"] = server.url("/a")
    assert "redirects" in refused(PRECONDITION, "show", server.url("/a"))
    assert len(server.log) <= 7


def test_nothing_secret_is_printed(server, state, tmp_path):
    server.files["/m.safetensors"] = save(state)
    url = server.url("/m.safetensors").replace("http://", "http://me:pa55@") + "?token=s3cret"
    results = [cairn("show", url), cairn("show", url, "--json"), cairn("convert", url, tmp_path / "a.safetensors", "--json"), cairn("verify", url), cairn("diff", url, url)]
    missing = url.replace("m.safetensors", "gone.safetensors")
    results += [cairn("show", missing), cairn("convert", tmp_path / "a.safetensors", missing), cairn("import", url, "a@1"), cairn("convert", f"server::{url}", "ref::a@1")]
    assert [result.returncode for result in results[:5]] == [0] * 5, [result.stderr for result in results]
    for result in results:
        assert "s3cret" not in result.stdout + result.stderr and "pa55" not in result.stdout + result.stderr


def test_nothing_is_written_over_http(server, state, tmp_path):
    save_file(state, tmp_path / "in.safetensors")
    assert "nothing can be written over http" in refused(USAGE, "convert", tmp_path / "in.safetensors", server.url("/out.safetensors"))
    assert not server.log


def test_a_url_and_a_file_are_compared(server, state, tmp_path):
    save_file(state, tmp_path / "here.safetensors")
    server.files["/there.safetensors"] = (tmp_path / "here.safetensors").read_bytes()
    done("diff", tmp_path / "here.safetensors", server.url("/there.safetensors"))


def test_urls_that_cannot_be_are_mistakes_of_usage():
    for url in ("http://", "https://h:99999/x", "s3:///key", "https://127.0.0.1/folder/"):
        refused(USAGE, "show", url)


# S3.


def test_a_torch_file_in_s3_becomes_a_safetensors_folder_in_s3(s3, tmp_path):
    tensors = {f"layers.{i}.weight": torch.randn(400, 300) for i in range(8)}
    torch.save(tensors, tmp_path / "model.pt")
    s3.put("in/model v1+x=%41.pt", (tmp_path / "model.pt").read_bytes())
    done("convert", "s3://models/in/model v1+x=%41.pt", "s3://models/out/sf/", "--to", "safetensors", "--max-shard-size", "1MB", **s3.environment())
    index = json.loads(s3.get("out/sf/model.safetensors.index.json"))
    found = {}
    for file in set(index["weight_map"].values()):
        found.update(load(s3.get(f"out/sf/{file}")))
    same({name: tensor.numpy() for name, tensor in tensors.items()}, found)
    # The file that makes sense of the others comes last.
    written = [path for method, path in s3.requests() if method in ("PUT", "POST") and "/out/sf/" in path]
    assert written[-1].startswith("/models/out/sf/model.safetensors.index.json")
    # And a folder is read back; its listing has more than one page.
    done("convert", "s3://models/out/sf", tmp_path / "back.safetensors", **s3.environment())
    same(found, load_file(tmp_path / "back.safetensors"))
    assert len(s3.keys("out/sf/")) > 3


def test_a_large_file_goes_up_in_parts_and_is_whole(s3, large, tmp_path):
    save_file(large, tmp_path / "in.safetensors")
    done("convert", tmp_path / "in.safetensors", "s3://models/large.safetensors", **s3.environment())
    assert s3.get("large.safetensors") == (tmp_path / "in.safetensors").read_bytes()
    assert s3.client.head_object(Bucket="models", Key="large.safetensors")["ETag"].endswith('-3"')
    assert not s3.uploads()
    done("show", "s3://models/large.safetensors", "--values", **s3.environment())
    done("verify", "s3://models/large.safetensors", **s3.environment())


def test_what_is_there_is_replaced_only_if_asked(s3, state, tmp_path):
    save_file(state, tmp_path / "in.safetensors")
    s3.put("taken/model.safetensors", b"old")
    for target in ("s3://models/taken/model.safetensors", "s3://models/taken/", "s3://models/taken"):
        said = refused(PRECONDITION, "convert", tmp_path / "in.safetensors", target, "--to", "safetensors", **s3.environment())
        assert "--overwrite" in said
        assert s3.get("taken/model.safetensors") == b"old"
    done("convert", tmp_path / "in.safetensors", "s3://models/taken/model.safetensors", "--overwrite", **s3.environment())
    same(state, load(s3.get("taken/model.safetensors")))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_program_that_dies_in_an_upload_leaves_no_object(s3, large, tmp_path, how):
    save_file(large, tmp_path / "in.safetensors")
    gate = Gate(s3.port, after=20 << 20)
    key = f"killed-{how}.safetensors"
    try:
        process = started("convert", tmp_path / "in.safetensors", f"s3://models/{key}", **s3.environment(gate.endpoint))
        assert gate.reached.wait(timeout=60)
        process.send_signal(how)
        process.wait(timeout=60)
        process.stderr.close()
    finally:
        gate.close()
    assert process.returncode != 0
    assert s3.get(key) is None
    # Whoever can still say so gives the parts back.
    assert (key in s3.uploads()) == (how == signal.SIGKILL)


def test_an_upload_that_breaks_is_tried_again(s3, large, tmp_path):
    save_file(large, tmp_path / "in.safetensors")
    gate = Gate(s3.port, after=20 << 20)
    try:
        # The connection stands still until the client gives up on it; the next one passes.
        done("convert", tmp_path / "in.safetensors", "s3://models/again.safetensors", **s3.environment(gate.endpoint), CAIRN_URL_TIMEOUT="2")
    finally:
        gate.close()
    assert s3.get("again.safetensors") == (tmp_path / "in.safetensors").read_bytes()


def test_wrong_credentials_are_named_and_not_shown(s3, state, tmp_path):
    s3.put("m.safetensors", save(state))
    wrong = {**s3.environment(), "AWS_SECRET_ACCESS_KEY": "not-the-secret-one"}
    said = refused(1, "show", "s3://models/m.safetensors", **wrong)
    assert "SignatureDoesNotMatch" in said and "not-the-secret-one" not in said
    assert "AWS_ACCESS_KEY_ID" in refused(PRECONDITION, "show", "s3://models/m.safetensors")
    assert "s3://models/nothing" in refused(NOT_FOUND, "show", "s3://models/nothing", **s3.environment())


def test_credentials_may_be_a_profile(s3, state, tmp_path):
    s3.put("m.safetensors", save(state))
    (tmp_path / "credentials").write_text(f"[default]\naws_access_key_id = no\naws_secret_access_key = no\n[work]\naws_access_key_id = {s3.key}\naws_secret_access_key={s3.secret}\n")
    (tmp_path / "config").write_text(f"[profile work]\nregion = us-east-1\nendpoint_url = {s3.endpoint}\n")
    done("show", "s3://models/m.safetensors", AWS_PROFILE="work", AWS_SHARED_CREDENTIALS_FILE=str(tmp_path / "credentials"), AWS_CONFIG_FILE=str(tmp_path / "config"))


def test_a_public_bucket_is_read_without_credentials_if_somebody_says_so(server, state, tmp_path):
    server.files["/public/run/m.safetensors"] = save(state)
    anonymous = {"AWS_ENDPOINT_URL": server.base, "AWS_NO_SIGN_REQUEST": "YES"}
    done("convert", "s3://public/run/m.safetensors", tmp_path / "out.safetensors", **anonymous)
    same(state, load_file(tmp_path / "out.safetensors"))
    assert server.log and not [name for _, _, headers in server.log for name in headers if name.lower() == "authorization" or name.lower().startswith("x-amz")]
    assert "AWS_NO_SIGN_REQUEST" in refused(PRECONDITION, "show", "s3://public/run/m.safetensors", AWS_ENDPOINT_URL=server.base)


def test_files_that_are_written_side_by_side_share_the_memory(s3, tmp_path):
    dim, hidden, vocabulary, parts = 1024, 16384, 32768, 8
    params = {"dim": dim, "n_layers": 1, "n_heads": 8, "n_kv_heads": 8, "vocab_size": vocabulary, "multiple_of": 16, "norm_eps": 1e-5, "rope_theta": 5e5}
    shapes = {"tok_embeddings": (vocabulary, dim), "output": (vocabulary, dim), "layers.0.attention.wq": (dim, dim), "layers.0.attention.wk": (dim, dim), "layers.0.attention.wv": (dim, dim), "layers.0.attention.wo": (dim, dim),
              "layers.0.feed_forward.w1": (hidden, dim), "layers.0.feed_forward.w2": (dim, hidden), "layers.0.feed_forward.w3": (hidden, dim), "norm": (dim,), "layers.0.attention_norm": (dim,), "layers.0.ffn_norm": (dim,)}
    (tmp_path / "in").mkdir()
    torch.save({f"{name}.weight": torch.ones(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}, tmp_path / "in/consolidated.00.pth")
    (tmp_path / "in/params.json").write_text(json.dumps(params))
    launcher = Launcher()
    variables = [f"{name}={value}" for name, value in environment(variables={**CLEAN, **s3.environment()}).items()]
    measured = launcher.run("/usr/bin/env", "-i", *variables, CAIRN, "convert", tmp_path / "in", "llama::s3://models/parts/", "--parts", parts, "--dtype", "keep")
    launcher.close()
    assert measured.code == 0, measured.errors
    assert len([key for key in s3.keys("parts/") if key.endswith(".pth")]) == parts
    # A part of 16 MiB for each of the files, and two more on their way for each, would be 384 MiB.
    assert measured.peak < 180 << 20


def test_giving_up_many_uploads_takes_no_longer_than_one_where_the_server_is_gone(tmp_path):
    s3 = S3Server(tmp_path)
    process = None
    try:
        save_file({f"t{i}": np.zeros(2 << 20, np.uint8) for i in range(60)}, tmp_path / "in.safetensors")
        # Those that fit into 16 MiB wait for the commit, and the others are begun.
        process = started("convert", tmp_path / "in.safetensors", "s3://models/many/", "--to", "safetensors", "--max-shard-size", "2MB", **s3.environment())
        while len(s3.uploads()) < 3:
            assert process.poll() is None, process.stderr.read()
        s3.process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=25)
    finally:
        s3.process.send_signal(signal.SIGCONT)
        if process is not None:
            process.kill()
            process.stderr.close()
        s3.close()


def test_what_s3_cannot_do_is_said(s3, state, tmp_path):
    save_file(state, tmp_path / "in.safetensors")
    for option in ("--resume", "--assets-beside"):
        assert option in refused(USAGE, "convert", tmp_path / "in.safetensors", "s3://models/x.safetensors", option, **s3.environment())
