// SPDX-License-Identifier: Apache-2.0
// metallic completion and metallic complete: scripts for shells, and the words that they offer, from the definition of the
// options.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/dtype.h"
#include "ops/registry.h"
#include "tools/metallic/command.h"
#include "tuner/workloads/model.h"

extern "C" const char metallic_completion_bash[], metallic_completion_bash_end[];
extern "C" const char metallic_completion_zsh[], metallic_completion_zsh_end[];
extern "C" const char metallic_completion_fish[], metallic_completion_fish_end[];

namespace metallic::cli {
namespace {

using Words = std::vector<std::string>;

// The values that --help lists in braces, as in TEXT:{table,md,csv,json}.
Words listed_values(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t open = type.find('{'), close = type.rfind('}');
  if (open == std::string::npos || close == std::string::npos) return {};
  return CLI::detail::split(type.substr(open + 1, close - open - 1), ',');
}

// The values of an option; nothing for files, numbers and labels. Options with the same name have the same meaning everywhere.
Words values(const CLI::Option& option) {
  const std::string name = option.get_single_name();
  Words found = listed_values(option);
  const auto add = [&](std::string_view value) {
    if (std::ranges::find(found, value) == found.end()) found.emplace_back(value);
  };
  if (name == "op" || name == "problem")
    for (const Op op : operations()) add(metallic::name(op));
  if (name == "dtype")
    for (const DType dtype : kDTypes) add(metallic::name(dtype));
  if (name == "model")
    for (const std::string& model : model_names()) add(model);
  if (name == "variant")
    for (const Op op : operations())
      for (const Variant& variant : variants(op)) add(variant.name);
  return found;
}

bool is_option(const std::string& word) { return word.starts_with("-"); }

// The option that takes a value after `words`: the last one, while it accepts more values; or null.
const CLI::Option* open_option(const CLI::App& command, const Words& words) {
  const auto last = std::find_if(words.rbegin(), words.rend(), is_option);
  if (last == words.rend()) return nullptr;
  const CLI::Option* option = command.get_option_no_throw(*last);
  const auto given = static_cast<int>(last - words.rbegin());
  return option && given < option->get_items_expected_max() ? option : nullptr;
}

// The words that may follow `before` in a subcommand; `current` is the beginning of the word.
Words next_words(const CLI::App& command, const Words& before, const std::string& current) {
  const CLI::Option* open = open_option(command, before);
  if (open && !is_option(current)) return values(*open);
  Words found;
  for (const CLI::Option* option : command.get_options()) {
    const Words& names = option->get_lnames();
    if (names.empty()) {
      if (!is_option(current)) std::ranges::copy(values(*option), std::back_inserter(found));
    } else if (is_option(current) && std::ranges::find(before, "--" + names.front()) == before.end()) {
      found.push_back("--" + names.front());
    }
  }
  return found;
}

// `words` are the words after the name of the program; the last one, which may be empty, is to be completed.
Words complete(const CLI::App& app, Words words) {
  // bash splits --op=softmax into three words.
  const bool after_sign = !words.empty() && words.back() == "=";
  std::erase(words, "=");
  if (words.empty() || after_sign) words.emplace_back();
  std::string current = words.back();
  words.pop_back();
  // Other shells pass it as one word.
  std::string whole;
  if (const size_t sign = current.find('='); is_option(current) && sign != std::string::npos) {
    words.push_back(current.substr(0, sign));
    whole = current.substr(0, sign + 1);
    current.erase(0, sign + 1);
  }
  Words found;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); }))
    if (words.empty())
      found.push_back(command->get_name());
    else if (command->check_name(words.front()))
      found = next_words(*command, {words.begin() + 1, words.end()}, current);
  if (words.empty()) std::ranges::copy(next_words(app, words, current), std::back_inserter(found));
  std::erase_if(found, [&](const std::string& word) { return !word.starts_with(current); });
  for (std::string& word : found) word.insert(0, whole);
  return found;
}

struct Script {
  std::string shell;
};

Result<Exit> print_script(const Script& script) {
  if (script.shell == "bash") fmt::print("{}", std::string_view(metallic_completion_bash, metallic_completion_bash_end));
  if (script.shell == "zsh") fmt::print("{}", std::string_view(metallic_completion_zsh, metallic_completion_zsh_end));
  if (script.shell == "fish") fmt::print("{}", std::string_view(metallic_completion_fish, metallic_completion_fish_end));
  return Exit::done;
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  add_command<Script>(
      app, action, "completion", "print a completion script for a shell",
      [](const Command& command, Script& script) {
        command.option("shell", script.shell, "the shell").required().one_of({"bash", "zsh", "fish"});
      },
      print_script);
  add_command<Words>(
      app, action, "complete", "internal: words that complete the command line",
      [](const Command& command, Words& words) {
        command.hide();
        command.option("words", words, "the words after metallic; the last one is completed");
      },
      [&app](const Words& words) -> Result<Exit> {
        for (const std::string& word : complete(app, words)) fmt::print("{}\n", word);
        return Exit::done;
      });
}

}  // namespace metallic::cli
