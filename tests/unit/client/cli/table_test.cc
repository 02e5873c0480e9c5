#include "client/cli/table.h"

#include <sstream>

#include "gtest/gtest.h"

namespace cairn::cli {
namespace {

TEST(Table, AlignsColumnsByWhatIsSeen) {
  Table table({{"REF", Table::Align::kLeft}, {"SIZE", Table::Align::kRight}, {"TAGS", Table::Align::kLeft}});
  table.AddRow({"モデル@1", "9 B", "best"});
  table.AddRow({"a@1", "10.0 GiB", ""});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(),
            "REF           SIZE  TAGS\n"
            "モデル@1       9 B  best\n"
            "a@1       10.0 GiB\n");
}

TEST(Table, SendsNoEscapeSequenceFromACell) {
  Table table({{"BY"}});
  table.AddRow({"\x1b]0;owned\x07"});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace cairn::cli
