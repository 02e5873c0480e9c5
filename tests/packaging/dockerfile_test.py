"""The check of the Dockerfile itself: each mistake here must be found."""

import pathlib
import unittest

import dockerfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
IGNORE = (ROOT / ".dockerignore").read_text()


def found(old="", new="", ignore=IGNORE, version="0.1.0"):
    assert old in TEXT, old
    return "\n".join(dockerfile.problems(ROOT, TEXT.replace(old, new) if old else TEXT, ignore, version))


class DockerfileTest(unittest.TestCase):
    def test_ours_has_the_version_it_is_checked_for(self):
        self.assertIn("expected the project's version 9.9.9", found(version="9.9.9"))

    def test_each_mistake_is_found(self):
        for old, new, expected in [
            ("USER 10001:10001", "USER root", "not root's"),
            ("USER 10001:10001", "USER cairn", "not root's"),
            ("USER 10001:10001", "USER 0:0", "not root's"),
            ("USER 10001:10001\n", "", "not root's"),
            ("FROM debian:bookworm-slim\n", "FROM debian:latest\n", "no fixed tag"),
            ("FROM debian:bookworm-slim\n", "FROM debian\n", "no fixed tag"),
            ('ENTRYPOINT ["cairnd"]', "ENTRYPOINT cairnd", 'expected ["cairnd"]'),
            ('CMD ["cairn", "doctor"]', "CMD cairn doctor", "exec form"),
            ("COPY common common", "COPY commons common", "commons does not exist"),
            ("COPY common common", "COPY tests tests", "kept out by .dockerignore"),
            ("COPY common common", "ADD common common", "use COPY"),
            ("--from=build", "--from=builder", "no earlier stage"),
            ("RUN cmake", "RUN wget x && cmake", "downloads"),
            ("--no-install-recommends ", "", "--no-install-recommends"),
            ("WORKDIR /src", "WORKDIRR /src", "not known"),
            ("EXPOSE 7710", "EXPOSE 80", "expected 7710"),
        ]:
            with self.subTest(new=new or f"without {old}"):
                self.assertIn(expected, found(old, new))

    def test_one_stage_is_not_enough(self):
        single = TEXT[TEXT.index("FROM debian:bookworm-slim\n"):]
        self.assertIn("a stage that builds", "\n".join(dockerfile.problems(ROOT, single, IGNORE, "0.1.0")))

    def test_dockerignore_is_read_in_order(self):
        self.assertFalse(dockerfile.ignored("a/b", ["*", "!a"]))
        self.assertTrue(dockerfile.ignored("a/b", ["*", "!a", "a/b"]))
        self.assertTrue(dockerfile.ignored("c", ["*", "!a"]))


if __name__ == "__main__":
    unittest.main()
