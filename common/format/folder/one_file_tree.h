#pragma once

#include <memory>
#include <string>

#include "common/io/file_tree.h"

namespace cairn {

// One file of a folder as a tree that is this file: what a format needs that knows single files, where a checkpoint is
// made of several.
std::unique_ptr<SourceTree> FileOfTree(std::shared_ptr<const SourceTree> folder, std::string name);

// To be written. Its Commit() does nothing: the folder's owner commits them all.
std::unique_ptr<SinkTree> FileOfTree(std::shared_ptr<SinkTree> folder, std::string name);

}  // namespace cairn
