#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "cairn/v1/checkpoint_service.pb.h"
#include "grpcpp/support/slice.h"
#include "proto/wire/frame.h"

// The first byte says how long the frame's slices are. What ParseFrame takes, protobuf takes too, and alike.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  const size_t step = 1 + bytes[0];
  std::vector<grpc::Slice> slices;
  for (size_t at = 1; at < size; at += step) slices.emplace_back(bytes + at, std::min(step, size - at));
  const grpc::ByteBuffer frame(slices.data(), slices.size());

  cairn::v1::PutTensorRequest header;
  std::vector<cairn::Buffer> pieces;
  if (!cairn::wire::ParseFrame(frame, 64 << 10, &header, &pieces).ok()) return 0;
  std::string data;
  for (const cairn::Buffer& piece : pieces) data.append(piece.data(), piece.size());
  cairn::v1::PutTensorRequest whole;
  if (!whole.ParseFromArray(bytes + 1, static_cast<int>(size - 1)) || whole.data() != data) std::abort();
  whole.clear_data();
  if (whole.SerializeAsString() != header.SerializeAsString()) std::abort();
  return 0;
}
