#pragma once

#include <memory>
#include <string>

#include "common/format/format.h"

namespace cairn {

// A target that is one file has no place for assets: they become files in the folder in which it lies. They are there before
// it is. One that is there already is left alone if it has the same bytes; otherwise it is replaced with `overwrite`, and
// ALREADY_EXISTS, before anything is written of the weights, without.
//
// `target` is the path of that file, `weights` its writer. `scratch`: where they lie until then, on the same file system; empty:
// beside it, under other names.
std::unique_ptr<CheckpointWriter> WriteAssetsBeside(std::unique_ptr<CheckpointWriter> weights, const std::string& target,
                                                    bool overwrite, const std::string& scratch = "");

}  // namespace cairn
