#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "common/handover/file_giver.h"
#include "server/engine/download.h"

namespace cairn {

// The files of one load, for a caller that is connected to the file socket.
class PeerFiles final : public FileRecipient {
 public:
  // Each is a descriptor of the caller's until its load ends, and a trainer has others to open: a checkpoint of more files is
  // sent from there on.
  static constexpr uint32_t kMaxFiles = 64;

  explicit PeerFiles(std::shared_ptr<FilePeer> peer) : peer_(std::move(peer)) {}
  bool Give(uint32_t number, int file) override { return given_ < kMaxFiles && peer_->Give(number, file) && ++given_ > 0; }

 private:
  const std::shared_ptr<FilePeer> peer_;
  uint32_t given_ = 0;
};

}  // namespace cairn
