#include "runtime/inference/jinja/jinja.hpp"

#include "runtime/inference/jinja/ast.hpp"
#include "runtime/inference/jinja/builtins.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

namespace ptxgen::jinja {

namespace {

using Kind = Expression::Kind;

/// Adds the line to a failure that has none yet.
template <class Action>
auto located(std::size_t line, Action action) {
    try {
        return action();
    } catch (Failure& failure) {
        if (failure.message.compare(0, 5, "line ") != 0)
            failure.message = fmt::format("line {}: {}", line, failure.message);
        throw;
    }
}

/// Names that a body sets stay in it for loops and macros; `if` does not open a scope.
class Renderer {
public:
    explicit Renderer(const Dict& variables) { scopes_.push_back(variables); }

    std::string render(const Body& body) {
        run(body);
        return std::move(output_);
    }

private:
    static constexpr std::size_t step_limit = 5'000'000, output_limit = std::size_t{256} << 20;
    static constexpr int depth_limit = 60; ///< of macros that call each other, each with its bodies and expressions

    void step(std::size_t line) {
        if (++steps_ > step_limit) throw Failure{fmt::format("line {}: the template runs too long", line)};
    }
    void print(const std::string& text) {
        if (output_.size() + text.size() > output_limit) throw Failure{"the template prints too much"};
        output_ += text;
    }
    void assign(const std::string& name, Value value) {
        for (auto& [key, present] : scopes_.back())
            if (key == name) {
                present = std::move(value);
                return;
            }
        scopes_.back().emplace_back(name, std::move(value));
    }
    Value lookup(const std::string& name) const {
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
            for (const auto& [key, value] : *scope)
                if (key == name) return value;
        return global_function(name);
    }

    void run(const Body& body) {
        for (const Statement& statement : body) {
            step(statement.line);
            run(statement);
        }
    }

    void run(const Statement& statement) {
        switch (statement.kind) {
        case Statement::Kind::text: print(statement.text); return;
        case Statement::Kind::output:
            print(located(statement.line, [&] { return evaluate(*statement.expression).text(); }));
            return;
        case Statement::Kind::condition:
            for (const Statement::Branch& branch : statement.branches)
                if (!branch.condition || evaluate(*branch.condition).truthy()) {
                    run(branch.body);
                    return;
                }
            return;
        case Statement::Kind::loop: loop(statement); return;
        case Statement::Kind::set: set(statement); return;
        case Statement::Kind::capture: assign(statement.names[0], captured([&] { run(statement.body); })); return;
        case Statement::Kind::macro: assign(statement.text, macro(statement)); return;
        }
    }

    void set(const Statement& statement) {
        Value value = evaluate(*statement.expression);
        if (!statement.attribute.empty()) {
            const Value target = lookup(statement.names[0]);
            if (!target.is(Value::Kind::space))
                throw Failure{fmt::format("line {}: '{}' is no namespace", statement.line, statement.names[0])};
            located(statement.line, [&] { target.set(statement.attribute, std::move(value)); });
            return;
        }
        bind(statement.names, std::move(value), statement.line);
    }

    void bind(const std::vector<std::string>& names, Value value, std::size_t line) {
        if (names.size() == 1) {
            assign(names[0], std::move(value));
            return;
        }
        const List parts = located(line, [&] { return elements_of(value); });
        if (parts.size() != names.size())
            throw Failure{fmt::format("line {}: expected {} values, found {}", line, names.size(), parts.size())};
        for (std::size_t i = 0; i < names.size(); ++i) assign(names[i], parts[i]);
    }

    void loop(const Statement& statement) {
        List all = located(statement.line, [&] { return elements_of(evaluate(*statement.expression)); });
        if (statement.filter) {
            List kept;
            for (Value& element : all) {
                scopes_.emplace_back();
                bind(statement.names, element, statement.line);
                if (evaluate(*statement.filter).truthy()) kept.push_back(element);
                scopes_.pop_back();
            }
            all = std::move(kept);
        }
        const auto size = static_cast<std::int64_t>(all.size());
        for (std::int64_t i = 0; i < size; ++i) {
            step(statement.line);
            const auto at = static_cast<std::size_t>(i);
            Dict state{{"index0", i},    {"index", i + 1},       {"first", i == 0},          {"last", i + 1 == size},
                       {"length", size}, {"revindex", size - i}, {"revindex0", size - i - 1}};
            if (i > 0) state.emplace_back("previtem", all[at - 1]);
            if (i + 1 < size) state.emplace_back("nextitem", all[at + 1]);
            scopes_.emplace_back();
            bind(statement.names, all[at], statement.line);
            assign("loop", Value(std::move(state)));
            run(statement.body);
            scopes_.pop_back();
        }
        if (all.empty()) run(statement.otherwise);
    }

    /// What `body` prints, instead of printing it.
    template <class Action>
    std::string captured(Action action) {
        std::string before = std::exchange(output_, {});
        action();
        return std::exchange(output_, std::move(before));
    }

    Value macro(const Statement& statement) {
        return Function([this, &statement](const Arguments& arguments) -> Value {
            if (++depth_ > depth_limit) throw Failure{"macros call each other too deeply"};
            // A macro sees the template's own names, not its caller's.
            std::vector<Dict> caller = std::exchange(scopes_, {});
            scopes_ = {caller.front(), {}};
            for (std::size_t i = 0; i < statement.parameters.size(); ++i) {
                const Argument& parameter = statement.parameters[i];
                const Value* given = arguments.find(i, parameter.name);
                assign(parameter.name, given             ? *given
                                       : parameter.value ? evaluate(*parameter.value)
                                                         : Value(Value::Undefined{parameter.name}));
            }
            std::string text = captured([&] { run(statement.body); });
            scopes_ = std::move(caller);
            --depth_;
            return text;
        });
    }

    Value evaluate(const Expression& expression) {
        step(expression.line);
        return located(expression.line, [&] { return evaluate_unlocated(expression); });
    }
    Value child(const Expression& expression, std::size_t index) {
        return expression.children[index] ? evaluate(*expression.children[index]) : Value();
    }
    Arguments arguments_of(const Expression& expression) {
        Arguments out;
        for (const Argument& argument : expression.arguments) {
            Value value = evaluate(*argument.value);
            if (argument.name.empty())
                out.positional.push_back(std::move(value));
            else
                out.named.emplace_back(argument.name, std::move(value));
        }
        return out;
    }

    Value evaluate_unlocated(const Expression& e) {
        switch (e.kind) {
        case Kind::literal: return e.value;
        case Kind::name: return lookup(e.text);
        case Kind::list: {
            List out;
            for (std::size_t i = 0; i < e.children.size(); ++i) out.push_back(child(e, i));
            return out;
        }
        case Kind::dict: {
            Dict keys;
            for (std::size_t i = 0; i + 1 < e.children.size(); i += 2) {
                std::string key = child(e, i).text();
                Value value = child(e, i + 1);
                std::erase_if(keys, [&](const auto& entry) { return entry.first == key; });
                keys.emplace_back(std::move(key), std::move(value));
            }
            return keys;
        }
        case Kind::attribute: return attribute_of(child(e, 0), e.text);
        case Kind::item: return item_of(child(e, 0), child(e, 1));
        case Kind::slice: return slice_of(child(e, 0), child(e, 1), child(e, 2), child(e, 3));
        case Kind::call: {
            const Value function = child(e, 0);
            if (function.is(Value::Kind::undefined))
                throw Failure{fmt::format("'{}' is undefined", function.undefined().name)};
            if (!function.is(Value::Kind::function)) throw Failure{fmt::format("cannot call {}", function.type_name())};
            return function.function()(arguments_of(e));
        }
        case Kind::filter: return apply_filter(e.text, child(e, 0), arguments_of(e));
        case Kind::test: return apply_test(e.text, child(e, 0), arguments_of(e));
        case Kind::unary: {
            const Value value = child(e, 0);
            if (e.text == "not") return !value.truthy();
            if (e.text == "+") return binary("+", Value(std::int64_t{0}), value);
            return binary("-", Value(std::int64_t{0}), value);
        }
        case Kind::binary: {
            Value left = child(e, 0);
            if (e.text == "and") return left.truthy() ? child(e, 1) : left;
            if (e.text == "or") return left.truthy() ? left : child(e, 1);
            return binary(e.text, left, child(e, 1));
        }
        case Kind::comparison: {
            Value left = child(e, 0);
            for (std::size_t i = 0; i < e.operators.size(); ++i) {
                Value right = child(e, i + 1);
                if (!compare(e.operators[i], left, right)) return false;
                left = std::move(right);
            }
            return true;
        }
        case Kind::conditional: return child(e, 1).truthy() ? child(e, 0) : child(e, 2);
        }
        return {};
    }

    std::vector<Dict> scopes_;
    std::string output_;
    std::size_t steps_ = 0;
    int depth_ = 0;
};

} // namespace

struct Template::Impl {
    Body body;
};

Template::Template(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::parse(std::string_view source) {
    try {
        return Template(std::make_unique<const Impl>(Impl{jinja::parse(source)}));
    } catch (const Failure& failure) {
        return Error{failure.message};
    }
}

Result<std::string> Template::render(const Dict& variables) const {
    try {
        return Renderer(variables).render(impl_->body);
    } catch (const Failure& failure) {
        return Error{failure.message};
    } catch (const std::bad_alloc&) {
        return Error{"out of memory"};
    }
}

} // namespace ptxgen::jinja
