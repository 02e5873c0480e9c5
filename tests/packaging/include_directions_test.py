"""The check of the includes itself: each wrong direction here must be found."""

import pathlib
import unittest

import include_directions

ROOT = pathlib.Path(__file__).resolve().parents[2]


def found(path, include):
    return "\n".join(include_directions.problems_of_file(ROOT, path, f"#pragma once\n\n#include {include}\n"))


class IncludeDirectionsTest(unittest.TestCase):
    def test_no_include_of_this_tree_points_the_wrong_way(self):
        self.assertEqual(list(include_directions.problems(ROOT)), [])

    def test_each_wrong_direction_is_found(self):
        for path, include in [
            ("common/base/x.h", '"common/tensor/shape.h"'),
            ("common/io/x.h", '"common/tensor/shape.h"'),
            ("common/tensor/x.h", '"common/io/byte_source.h"'),
            ("common/cast/x.cc", '"common/io/byte_source.h"'),
            ("common/format/x.h", '"common/cast/cast.h"'),
            ("common/format/x.h", '"common/format/easylm/easylm_format.h"'),
            ("common/format/easylm/x.cc", '"common/format/safetensors/safetensors_format.h"'),
            ("common/format/easylm/x.cc", '"common/format/all_formats.h"'),
            ("common/convert/x.cc", '"common/format/all_formats.h"'),
            ("common/convert/x.cc", '"common/format/easylm/easylm_format.h"'),
            ("proto/wire/x.cc", '"server/engine/manifest.h"'),
            ("server/store/x.cc", '"server/registry/registry.h"'),
            ("server/registry/x.cc", '"server/store/object_store.h"'),
            ("server/engine/x.h", '"server/service/checkpoint_service.h"'),
            ("server/engine/x.h", '"proto/wire/frame.h"'),
            ("server/service/x.cc", '"server/store/object_store.h"'),
            ("server/service/x.cc", '"server/registry/sqlite_registry.h"'),
            ("server/service/x.cc", '"cairn/client.h"'),
            ("client/cpp/src/x.cc", '"server/engine/manifest.h"'),
            ("client/cpp/include/cairn/x.h", '"proto/wire/frame.h"'),
            ("client/cli/x.cc", '"client/cpp/src/stub.h"'),
            ("client/transfer/x.cc", '"client/cli/console.h"'),
            ("client/python/native/x.cc", '"client/cli/console.h"'),
            ("client/cli/x.cc", '"common/format/easylm/easylm_format.h"'),
            ("server/app/x.cc", '"tests/testing/temp_dir.h"'),
        ]:
            with self.subTest(path=path, include=include):
                self.assertIn(f"{path}:3: includes {include[1:-1]}, expected only", found(path, include))

    def test_a_library_stays_where_it_belongs(self):
        for path, include in [
            ("common/tensor/x.cc", "<grpcpp/grpcpp.h>"),
            ("common/convert/x.cc", '"google/protobuf/message_lite.h"'),
            ("server/engine/x.cc", '"cairn/v1/tensor.pb.h"'),
            ("server/service/x.cc", "<sqlite3.h>"),
            ("client/cli/x.cc", '"grpcpp/channel.h"'),
            ("client/cpp/include/cairn/x.h", "<grpc/grpc.h>"),
            ("server/registry/x.cc", "<spdlog/spdlog.h>"),
        ]:
            with self.subTest(path=path, include=include):
                self.assertIn(f"includes {include[1:-1]}, which is for", found(path, include))

    def test_what_no_rule_speaks_of_is_found(self):
        self.assertIn("no rule says", found("server/metrics/x.cc", "<vector>"))
        self.assertIn("neither in this tree nor in LIBRARIES", found("server/app/x.cc", '"boost/any.hpp"'))
        self.assertIn("from the root of the repository", found("server/app/x.cc", '"options.h"'))

    def test_right_directions_are_not_found(self):
        for path, include in [
            ("common/base/x.cc", "<vector>"),
            ("common/base/x.cc", '"absl/status/status.h"'),
            ("common/format/all_formats.cc", '"common/format/easylm/easylm_format.h"'),
            ("common/format/easylm/x.cc", '"common/format/flax_msgpack/msgpack_scan.h"'),
            ("server/service/x.cc", '"server/registry/registry.h"'),
            ("server/app/x.cc", '"server/app/version.h"'),
            ("client/cli/x.cc", '"cairn/client.h"'),
        ]:
            with self.subTest(path=path, include=include):
                self.assertEqual(found(path, include), "")


if __name__ == "__main__":
    unittest.main()
