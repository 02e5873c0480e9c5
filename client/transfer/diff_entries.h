#pragma once

#include "cairn/types.h"
#include "common/diff/compare.h"

namespace cairn::transfer {

// One entry of a report, as it comes from a daemon and as it is computed here: the same facts.

// Borrows the entries of `diff`.
EntryComparison ToComparison(const client::EntryDiff& diff);
client::EntryDiff ToEntryDiff(const EntryComparison& comparison);

}  // namespace cairn::transfer
