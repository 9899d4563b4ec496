// What a chat template computes with: the values of Python that templates see.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ecq/base/result.h"

namespace ecq::chat {

class Value;
struct MacroNode;
struct Namespace;
struct Scope;

// Lists and dicts nest at most so deep, so that no walk over a value can exhaust the stack.
inline constexpr size_t kMaxValueDepth = 64;

// Counts the work of a rendering; templates come from strangers.
class Budget {
 public:
  explicit Budget(uint64_t steps) : left_(steps) {}

  // Errors: kInvalidArgument once the steps are used up.
  Status Spend(uint64_t steps);
  // The cost of making or reading a string of this length.
  Status SpendBytes(uint64_t bytes) { return Spend(1 + bytes / 16); }
  // The cost of making or reading a list of this length.
  Status SpendItems(uint64_t items) { return Spend(1 + 4 * items); }

 private:
  uint64_t left_;
};

struct Undefined {
  std::shared_ptr<const std::string> name;  // of what is missing; may be null
};
struct None {};

struct List;
struct Dict;
struct Method;

// A function that every template may call.
enum class Function : uint8_t { kRange, kNamespace, kDict, kRaiseException, kStrftimeNow };

struct Macro {
  const MacroNode* node;
  Scope* scope;  // where it was defined
};

// Immutable but for namespaces, so values share their parts freely and form no cycles. Namespaces
// and scopes belong to the interpreter.
class Value {
 public:
  using Data =
      std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<const List>, std::shared_ptr<const Dict>, Namespace*, Macro,
                   Function, std::shared_ptr<const Method>>;

  Value() = default;                            // undefined
  Value(Data data) : data_(std::move(data)) {}  // NOLINT: implicit
  Value(bool value) : data_(value) {}           // NOLINT: implicit
  Value(const void*) = delete;
  static Value Missing(std::string_view name);
  static Value NoneValue() { return Data(None{}); }
  static Value Int(int64_t value) { return Data(value); }
  static Value Float(double value) { return Data(value); }
  static Value Text(std::string text);

  template <typename T>
  bool Is() const {
    return std::holds_alternative<T>(data_);
  }
  bool is_undefined() const { return Is<Undefined>(); }
  bool is_none() const { return Is<None>(); }
  bool is_text() const { return Is<std::shared_ptr<const std::string>>(); }
  bool is_list() const { return Is<std::shared_ptr<const List>>(); }
  bool is_dict() const { return Is<std::shared_ptr<const Dict>>(); }
  bool is_number() const { return Is<bool>() || Is<int64_t>() || Is<double>(); }
  bool is_integer() const { return Is<bool>() || Is<int64_t>(); }
  bool is_callable() const {
    return Is<Macro>() || Is<Function>() || Is<std::shared_ptr<const Method>>();
  }

  // Each needs a value of its kind.
  const std::string& text() const { return *std::get<std::shared_ptr<const std::string>>(data_); }
  const List& list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Dict& dict() const { return *std::get<std::shared_ptr<const Dict>>(data_); }
  int64_t integer() const;  // of is_integer()
  double number() const;    // of is_number()
  const Data& data() const { return data_; }

  // "string", "list", "undefined value 'x'", ... for messages.
  std::string KindName() const;
  bool IsTrue() const;
  size_t depth() const;  // 0 for all but lists and dicts

 private:
  Data data_;
};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
  size_t depth = 1;
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in order of insertion
  size_t depth = 1;

  // Null if there is no such key.
  const Value* Find(std::string_view key) const;
};

// Namespace() of a template: the one thing that it can change.
struct Namespace {
  std::vector<std::pair<std::string, Value>> entries;

  Value* Find(std::string_view name);
};

// `self.name`, ready to be called.
struct Method {
  Value self;
  std::string name;
};

// Errors: kInvalidArgument if the value would nest deeper than kMaxValueDepth.
Result<Value> MakeList(std::vector<Value> items, bool is_tuple = false);
Result<Value> MakeDict(std::vector<std::pair<Value, Value>> entries);

// Python's ==. Errors: those of Budget::Spend().
Result<bool> Equals(const Value& a, const Value& b, Budget& budget);
// Python's <. Errors: also kInvalidArgument for kinds that have no order.
Result<bool> Less(const Value& a, const Value& b, Budget& budget);
// The value of a key, or null. Errors: those of Equals().
Result<const Value*> FindKey(const Dict& dict, const Value& key, Budget& budget);

// Sets `key` in the entries of a dict under construction.
Status SetEntry(std::vector<std::pair<Value, Value>>& entries, Value key, Value value,
                Budget& budget);

// What a `for` runs over: items, keys or characters; nothing for an undefined value.
// Errors: kInvalidArgument for a value that cannot be iterated over.
Result<std::vector<Value>> Iterate(const Value& value, Budget& budget);

Error Invalid(std::string message);

}  // namespace ecq::chat
