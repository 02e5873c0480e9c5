#pragma once

#include <memory>
#include <utility>

#include "common/handover/file_giver.h"
#include "server/engine/download.h"

namespace cairn {

// The files of one load, for a caller that is connected to the file socket.
class PeerFiles final : public FileRecipient {
 public:
  explicit PeerFiles(std::shared_ptr<FilePeer> peer) : peer_(std::move(peer)) {}
  bool Give(uint32_t number, int file) override { return peer_->Give(number, file); }

 private:
  const std::shared_ptr<FilePeer> peer_;
};

}  // namespace cairn
