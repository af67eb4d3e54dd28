#include "cli/journal.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>

#include "formats/csv.h"
#include "formats/file.h"

namespace metallic::cli {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;

// Rows without those of a last block that was cut short: the sampler writes whole blocks, one after the other.
void drop_torn_block(std::vector<SampleRow>& rows) {
  if (rows.empty()) return;
  const SampleRow last = rows.back();
  while (!rows.empty() && rows.back().parameters == last.parameters && rows.back().block == last.block &&
         rows.back().cache == last.cache && rows.back().dtype == last.dtype)
    rows.pop_back();
}

}  // namespace

Result<Journal> Journal::open(std::filesystem::path path) {
  Journal journal(std::move(path));
  const std::string& name = journal.path_.native();
  std::error_code ignored;
  std::string text;
  if (std::filesystem::exists(journal.path_, ignored)) {
    METALLIC_TRY(text, read_file(journal.path_, kMostBytes));
    const size_t whole = text.rfind('\n') + 1;  // 0 where there is no line at all
    const bool torn = whole < text.size();
    text.resize(whole);
    if (!text.empty()) {
      METALLIC_TRY(journal.earlier_, parse_samples(text, name));
    }
    if (torn) {
      drop_torn_block(journal.earlier_);
      text = journal.earlier_.empty() ? "" : to_csv(sample_columns(), std::span<const SampleRow>(journal.earlier_));
      METALLIC_CHECK(write_file(journal.path_, text));
    }
  }
  METALLIC_CHECK(check_writable(journal.path_));
  journal.file_ = ::open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (journal.file_ < 0) return fail(Code::invalid_argument, "{}: {}: choose another --output-dir", name, std::strerror(errno));
  return journal;
}

Journal::~Journal() {
  if (file_ >= 0) ::close(file_);
}

Status Journal::append(std::span<const SampleRow> rows) {
  std::string text = to_csv(sample_columns(), rows);
  if (::lseek(file_, 0, SEEK_END) > 0) text.erase(0, text.find('\n') + 1);  // the header is there
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(file_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      return fail(Code::invalid_argument, "{}: {}: make room and run it again, it goes on from there", path_.native(),
                  std::strerror(errno));
    done += static_cast<size_t>(written);
  }
  return {};
}

void Journal::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace metallic::cli
