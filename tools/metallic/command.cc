// SPDX-License-Identifier: Apache-2.0
#include "tools/metallic/command.h"

#include <CLI/CLI.hpp>

namespace metallic::cli {

Option Option::required() const {
  option_->required();
  return *this;
}

Option Option::type(const std::string& name) const {
  option_->type_name(name);
  return *this;
}

Option Option::show_default() const {
  option_->capture_default_str();
  return *this;
}

Option Option::one_of(const std::vector<std::string>& values) const {
  option_->check(CLI::IsMember(values));
  return *this;
}

Option Option::between(int64_t least, int64_t most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}

Option Option::between(double least, double most) const {
  option_->check(CLI::Range(least, most));
  return *this;
}

Option Option::split_at(char separator) const {
  option_->delimiter(separator);
  return *this;
}

Option Option::count(int least, int most) const {
  option_->expected(least, most);
  return *this;
}

Option Option::excludes(Option other) const {
  option_->excludes(other.option_);
  return *this;
}

Option Option::needs(Option other) const {
  option_->needs(other.option_);
  return *this;
}

Command::Command(CLI::App& app, const std::string& name, const std::string& description, std::function<void()> chosen)
    : command_(app.add_subcommand(name, description)) {
  command_->callback(std::move(chosen));
}

Option Command::option(const std::string& name, std::string& value, const std::string& help) const {
  return Option(command_->add_option(name, value, help));
}

Option Command::option(const std::string& name, std::vector<std::string>& values, const std::string& help) const {
  return Option(command_->add_option(name, values, help));
}

Option Command::option(const std::string& name, int64_t& value, const std::string& help) const {
  return Option(command_->add_option(name, value, help));
}

Option Command::option(const std::string& name, size_t& value, const std::string& help) const {
  return Option(command_->add_option(name, value, help));
}

Option Command::option(const std::string& name, double& value, const std::string& help) const {
  return Option(command_->add_option(name, value, help));
}

Option Command::flag(const std::string& name, bool& value, const std::string& help) const {
  return Option(command_->add_flag(name, value, help));
}

Option Command::option(const std::string& name, Parse parse, const std::string& help) const {
  return Option(command_->add_option_function<std::string>(
      name,
      [name, parse = std::move(parse)](const std::string& text) {
        if (const auto wrong = parse(text)) throw CLI::ValidationError(name, *wrong);
      },
      help));
}

Option Command::find(const std::string& name) const { return Option(command_->get_option(name)); }

void Command::hide() const { command_->group(""); }

}  // namespace metallic::cli
