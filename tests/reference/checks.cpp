#include "tests/reference/checks.hpp"

#include "runtime/inference/tokenizer.hpp"
#include "tests/support/greedy_truth.hpp"
#include "tests/support/reference_forward.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ptxgen::test {
namespace {

using Ids = std::vector<std::int32_t>;

int fail(const std::string& message) {
    fmt::print(stderr, "ptxgen-reference: {}\n", message);
    return 1;
}

/// What ptxgen-run --json has printed.
struct Answer {
    Ids prompt_ids;
    Ids ids;
};

Result<Answer> read_answer(const std::string& path) {
    std::ifstream in(path);
    const auto json = nlohmann::json::parse(in, nullptr, false);
    if (!json.is_object() || !json.contains("prompt_ids") || !json.contains("ids"))
        return Error{fmt::format("{}: expected an object with prompt_ids and ids", path)};
    return Answer{json["prompt_ids"], json["ids"]};
}

std::size_t equal_leading(const Ids& a, const Ids& b) {
    return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

int list_prompts(const GreedyTruth& truth) {
    fmt::print("{}\n", truth.model);
    for (std::size_t i = 0; i < truth.prompts.size(); i++)
        fmt::print("{} {} {}\n", i, truth.prompts[i].name, truth.prompts[i].prompt_ids.size());
    return 0;
}

int check_greedy(const GreedyPrompt& expected, const Answer& answer) {
    if (answer.prompt_ids != expected.prompt_ids) {
        fmt::print("prompt ids differ\n");
        return 1;
    }
    const std::string difference = greedy_difference(expected, answer.ids);
    const std::size_t equal = equal_leading(answer.ids, expected.ids);
    if (!difference.empty())
        fmt::print("{}\n", difference);
    else if (equal == answer.ids.size())
        fmt::print("{} equal\n", equal);
    else
        fmt::print("{} equal, then a gap of {:.4f}\n", equal, expected.gaps[equal]);
    return difference.empty() && !answer.ids.empty() ? 0 : 1;
}

/// What ids are by the reference's logits behind them, each step judged by what precedes it.
std::string judge_ids(const Answer& answer, std::span<const double> logits, std::size_t vocab, bool& right) {
    for (std::size_t i = 0; i < answer.ids.size(); i++) {
        const auto row = logits.subspan((answer.prompt_ids.size() - 1 + i) * vocab, vocab);
        const Best best = best_of(row);
        if (answer.ids[i] == best.id) continue;
        if (best.gap <= 0.02) return fmt::format("{} equal, then a gap of {:.4f}", i, best.gap);
        right = false;
        return fmt::format("step {}: expected id {} (by {:.4f}), found {}", i, best.id, best.gap, answer.ids[i]);
    }
    return fmt::format("{} equal", answer.ids.size());
}

int check_logits(const Model& model, const Answer& answer, const std::string& path, double bound) {
    const std::size_t vocab = model.shape.vocab;
    Ids evaluated = answer.prompt_ids;
    // The last id was drawn but never evaluated.
    if (!answer.ids.empty()) evaluated.insert(evaluated.end(), answer.ids.begin(), answer.ids.end() - 1);
    std::vector<float> found(evaluated.size() * vocab);
    const auto bytes = static_cast<std::streamsize>(found.size() * sizeof(float));
    std::ifstream in(path, std::ios::binary);
    in.read(reinterpret_cast<char*>(found.data()), bytes);
    if (in.gcount() != bytes || in.peek() != std::ifstream::traits_type::eof())
        return fail(fmt::format("{}: expected {} rows of {} floats", path, evaluated.size(), vocab));
    ReferenceForward reference(model);
    std::vector<double> logits;
    for (std::size_t at = 0; at < evaluated.size(); at += 64) {
        const auto part =
            reference.evaluate(std::span(evaluated).subspan(at, std::min<std::size_t>(64, evaluated.size() - at)));
        logits.insert(logits.end(), part.begin(), part.end());
    }
    double worst = 0;
    for (std::size_t row = 0; row < logits.size(); row += vocab) {
        double most = 0;
        double largest = 0;
        for (std::size_t i = row; i < row + vocab; i++) {
            const double delta = std::abs(found[i] - logits[i]);
            most = std::isfinite(delta) ? std::max(most, delta) : INFINITY;
            largest = std::max(largest, std::abs(logits[i]));
        }
        worst = std::max(worst, most / largest);
    }
    bool right = worst <= bound;
    const std::string ids = judge_ids(answer, logits, vocab, right);
    fmt::print("{} {:.1e} {}\n", evaluated.size(), worst, ids);
    return right ? 0 : 1;
}

} // namespace

std::optional<int> run_check(const std::string& command, const std::vector<std::string>& words) {
    const std::size_t count = words.size();
    if (command == "logits-check" && (count == 3 || (count == 5 && words[3] == "--bound"))) {
        const auto model = load_model(words[0]);
        if (!model) return fail(model.error().message);
        const auto answer = read_answer(words[1]);
        if (!answer) return fail(answer.error().message);
        return check_logits(*model, *answer, words[2], count == 5 ? std::stod(words[4]) : 1e-4);
    }
    const bool fits = (command == "prompts" && count == 1) || (command == "text" && count == 2) ||
                      (command == "greedy-check" && count == 3);
    if (!fits) return std::nullopt;
    const auto truth = load_greedy_file(words[0]);
    if (!truth) return fail(truth.error().message);
    if (command == "prompts") return list_prompts(*truth);
    const std::size_t index = std::stoul(words[1]);
    if (index >= truth->prompts.size()) return fail(fmt::format("there is no prompt {}", index));
    if (command == "text") {
        fmt::print("{}", truth->prompts[index].text);
        return 0;
    }
    const auto answer = read_answer(words[2]);
    if (!answer) return fail(answer.error().message);
    return check_greedy(truth->prompts[index], *answer);
}

} // namespace ptxgen::test
