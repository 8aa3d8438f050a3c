#include "bgworkers/replication/core/sim/script.h"

#include <algorithm>
#include <sstream>

#include "base/check.h"
#include "bgworkers/replication/core/crdt/registry.h"

#include "base/pure.h"

namespace pgquorum::replication::sim {
namespace {

constexpr const char* kKinds[] = {"insert", "update", "delete", "truncate", "rekey"};

void SetOption(const std::string& name, const std::string& value, TableModel& model) {
  TablePolicy& policy = model.policy;
  auto column = [&](const std::string& wanted) {
    auto found = std::find(model.columns.begin(), model.columns.end(), wanted);
    PGQUORUM_CHECK(found != model.columns.end());
    return static_cast<std::size_t>(found - model.columns.begin());
  };
  if (name == "strategy") {
    policy.strategy = StrategyNamed(value).value();
  } else if (name == "primary") {
    policy.primary = SiteId(static_cast<uint16_t>(std::stoul(value)));
  } else if (name == "column_level") {
    policy.column_level = value == "on";
  } else if (name == "unique") {
    model.unique_columns.push_back(column(value));
  } else if (name == "unique_rule") {
    policy.unique_rule = value == "null" ? UniqueRule::kSetNull : UniqueRule::kRename;
  } else if (name == "key_update") {
    policy.key_update_rule = KeyUpdateRule::kSplit;
  } else if (name == "ref") {
    std::size_t colon = value.find(':');
    model.reference = Reference{column(value.substr(0, colon)), value.substr(colon + 1)};
  } else if (name == "orphan") {
    policy.orphan_rule = value == "null"      ? OrphanRule::kSetNull
                         : value == "cascade" ? OrphanRule::kCascade
                                              : OrphanRule::kReviveParent;
  } else if (name == "check") {
    policy.check = [](const Image& image) {
      int sum = 0;
      for (const Value& item : image) {
        sum += std::stoi(item.data);
      }
      return sum < 10;
    };
  } else {
    CheckFailed(__FILE__, __LINE__, name.c_str());
  }
}

// Longer texts win, and of two of one length the greater: commutative, as a user's function has to
// be.
std::optional<Image> LongerText(const CustomInput& input) {
  if (input.a == nullptr || input.b == nullptr) {
    return input.a == nullptr && input.b == nullptr ? std::nullopt
                                                    : std::optional(input.a ? *input.a : *input.b);
  }
  const std::string& a = input.a->at(0).data;
  const std::string& b = input.b->at(0).data;
  return std::pair(a.size(), a) < std::pair(b.size(), b) ? *input.b : *input.a;
}

}  // namespace

std::vector<std::string> Words(std::string_view line) {
  std::istringstream in{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    words.push_back(word);
  }
  return words;
}

TableModel ParseTable(const std::vector<std::string>& words) {
  TableModel model;
  model.name = words.at(0);
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::size_t equals = words[i].find('=');
    std::size_t colon = words[i].find(':');
    if (equals != std::string::npos) {
      SetOption(words[i].substr(0, equals), words[i].substr(equals + 1), model);
    } else if (colon != std::string::npos) {
      model.merging_columns.push_back(words[i].substr(0, colon));
      model.types.push_back(crdt::TypeNamed(words[i].substr(colon + 1)).value());
    } else {
      model.columns.push_back(words[i]);
    }
  }
  if (model.policy.strategy == Strategy::kCustom) {
    model.policy.custom = LongerText;
  }
  return model;
}

Statement ParseStatement(const std::vector<std::string>& words) {
  Statement statement;
  auto kind = std::find(std::begin(kKinds), std::end(kKinds), words.at(0));
  PGQUORUM_CHECK(kind != std::end(kKinds));
  statement.kind = static_cast<Statement::Kind>(kind - std::begin(kKinds));
  statement.table = words.at(1);
  std::size_t next = 2;
  if (statement.kind != Statement::Kind::kTruncate) {
    statement.key = words.at(next++);
  }
  if (statement.kind == Statement::Kind::kRekey) {
    statement.new_key = words.at(next++);
  }
  for (; next < words.size(); ++next) {
    const std::string& word = words[next];
    std::size_t at = word.find_first_of("=+-");
    std::string name = word.substr(0, at);
    std::string rest = word.substr(at + 1);
    bool number = !rest.empty() && rest.find_first_not_of("0123456789") == std::string::npos;
    if (word[at] == '=') {
      statement.assign[name] = rest;
    } else if (word[at] == '+') {
      statement.add[name] = rest;
    } else if (number) {
      statement.add[name] = "-" + rest;
    } else {
      statement.remove[name] = rest;
    }
  }
  return statement;
}

std::string ToString(const Statement& statement) {
  std::string text = std::string(kKinds[static_cast<std::size_t>(statement.kind)]) + " " +
                     statement.table + " " + statement.key;
  text += statement.new_key.empty() ? "" : " " + statement.new_key;
  for (const auto& [name, value] : statement.assign) {
    text += " " + name + "=" + value;
  }
  for (const auto& [name, value] : statement.add) {
    text += " " + name + "+" + value;
  }
  for (const auto& [name, value] : statement.remove) {
    text += " " + name + "-" + value;
  }
  return text;
}

}  // namespace pgquorum::replication::sim
