// SPDX-License-Identifier: Apache-2.0
// metallic collect: converts JSON files of Google Benchmark to results.csv.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "tools/metallic/command.h"
#include "tools/metallic/inputs.h"
#include "tuner/io/google_benchmark.h"

namespace metallic::cli {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string out;
  bool json = false;
};

Result<Exit> run(const Options& options) {
  std::vector<ResultRow> rows;
  for (const std::string& file : options.files) {
    METALLIC_TRY(const std::string text, read_file(file, size_t{256} << 20));
    METALLIC_TRY(auto found, parse_google_benchmark(text, file, [](std::string_view line) { fmt::print(stderr, "{}\n", line); }));
    rows.insert(rows.end(), std::make_move_iterator(found.begin()), std::make_move_iterator(found.end()));
  }
  METALLIC_CHECK(write_file(options.out, to_csv(result_columns(), std::span<const ResultRow>(rows))));
  if (options.json) {
    auto json = Json::array();
    for (const ResultRow& row : rows) json.push_back(to_json(result_columns(), row));
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    fmt::print("{} rows from {} file{} in {}\n", rows.size(), options.files.size(), options.files.size() == 1 ? "" : "s",
               options.out);
  }
  return Exit::done;
}

}  // namespace

void add_collect(CLI::App& app, Action& action) {
  add_command<Options>(
      app, action, "collect", "convert JSON of Google Benchmark to results.csv",
      [](const Command& command, Options& options) {
        command.option("files", options.files, "files from --benchmark_out").required().type("FILE");
        command.option("--out", options.out, "CSV file to write").required().type("FILE");
        command.flag("--json", options.json, "print the rows as JSON");
      },
      run);
}

}  // namespace metallic::cli
