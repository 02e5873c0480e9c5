#include "server/engine/part_sealer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/annotate.h"
#include "common/base/fail_point.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace {

absl::Status Seal(Registry& registry, const Clock& clock, const std::string& session_id, FilledPart& filled) {
  if (filled.object != nullptr) {
    CAIRN_FAIL_POINT("upload.before_seal");
    CAIRN_RETURN_IF_ERROR(Annotate(filled.object->Seal(), absl::StrCat("object ", filled.part.object_key)));
  }
  CAIRN_FAIL_POINT("upload.before_record");
  CAIRN_RETURN_IF_ERROR(registry.RecordPart(session_id, filled.part, filled.extents, clock.Now()));
  CAIRN_FAIL_POINT("upload.after_record");
  return absl::OkStatus();
}

}  // namespace

PartSealer::PartSealer(Registry& registry, const Clock& clock, ThreadPool& pool, std::string session_id)
    : registry_(registry), clock_(clock), pool_(pool), session_id_(std::move(session_id)) {}

PartSealer::~PartSealer() { Await().IgnoreError(); }

absl::Status PartSealer::Start(FilledPart part) {
  CAIRN_RETURN_IF_ERROR(Await());
  {
    absl::MutexLock lock(&state_->mu);
    state_->busy = true;
  }
  auto filled = std::make_shared<FilledPart>(std::move(part));
  pool_.Schedule([this, filled] {
    absl::Status status = Seal(registry_, clock_, session_id_, *filled);
    filled->object.reset();  // Before the owner may go on: a writer that failed removes what it wrote.
    absl::MutexLock lock(&state_->mu);
    state_->busy = false;
    state_->status = std::move(status);
  });
  return absl::OkStatus();
}

bool PartSealer::Idle() const {
  absl::MutexLock lock(&state_->mu);
  return !state_->busy;
}

absl::Status PartSealer::Await() {
  absl::MutexLock lock(&state_->mu);
  state_->mu.Await(absl::Condition(+[](bool* busy) { return !*busy; }, &state_->busy));
  return state_->status;
}

}  // namespace cairn
