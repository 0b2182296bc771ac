#include "runtime/emulator/choices.hpp"
#include "runtime/emulator/dispatch.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

using namespace ptxgen::runtime::emulator;

TEST_CASE("a seed repeats its choices, another one makes others") {
    const auto first_of = [](const std::shared_ptr<Choices>& choices) {
        std::vector<u32> picked;
        for (u32 k = 0; k < 200; ++k) picked.push_back(choices->pick(1 + k % 7, ChoiceKind::cta));
        return picked;
    };
    CHECK(first_of(Choices::random(5)) == first_of(Choices::random(5)));
    CHECK(first_of(Choices::random(5)) != first_of(Choices::random(6)));
    CHECK(first_of(Choices::adversarial(5)) == first_of(Choices::adversarial(5)));
    CHECK(first_of(Choices::adversarial(5)) != first_of(Choices::adversarial(6)));
    const auto zeros = first_of(Choices::in_order());
    CHECK(std::count(zeros.begin(), zeros.end(), 0u) == 200);
    // each of five options about a fifth of the time
    const auto random = Choices::random(1);
    std::vector<int> counts(5);
    for (int k = 0; k < 5000; ++k) ++counts[random->pick(5, ChoiceKind::order)];
    for (const int c : counts) CHECK((c > 850 && c < 1150));
    // long runs of the first and of the last option
    const auto adversarial = Choices::adversarial(1);
    int longest[5] = {}, run = 0;
    u32 before = 9;
    for (int k = 0; k < 5000; ++k) {
        const u32 c = adversarial->pick(5, ChoiceKind::order);
        run = c == before ? run + 1 : 1;
        before = c;
        longest[c] = std::max(longest[c], run);
    }
    CHECK(longest[0] > 30);
    CHECK(longest[4] > 30);
}

TEST_CASE("scripted choices enumerate every schedule once") {
    // 2 options, then 3 where the first choice was 1, then 2 of a kind that is not explored
    std::set<std::vector<u32>> seen;
    const auto choices = Choices::scripted({}, {ChoiceKind::dispatch, ChoiceKind::completion});
    int runs = 0;
    do {
        std::vector<u32> picked{choices->pick(2, ChoiceKind::dispatch)};
        if (picked[0]) picked.push_back(choices->pick(3, ChoiceKind::completion));
        CHECK(choices->pick(2, ChoiceKind::cta) == 0);
        CHECK(choices->pick(1, ChoiceKind::dispatch) == 0);
        CHECK(choices->taken().size() == picked.size());
        seen.insert(picked);
        ++runs;
    } while (choices->advance());
    CHECK(runs == 4);
    CHECK(seen == std::set<std::vector<u32>>{{0}, {1, 0}, {1, 1}, {1, 2}});
    const auto replay = Choices::scripted({1, 2}, {ChoiceKind::dispatch});
    CHECK(replay->pick(2, ChoiceKind::dispatch) == 1);
    CHECK(replay->pick(4, ChoiceKind::dispatch) == 2);
    CHECK(replay->pick(4, ChoiceKind::dispatch) == 0);
    CHECK(replay->taken() == std::vector<Choice>{{2, 1, ChoiceKind::dispatch},
                                                 {4, 2, ChoiceKind::dispatch},
                                                 {4, 0, ChoiceKind::dispatch}});
    CHECK(!replay->diverged());
    const auto wrong = Choices::scripted({3}, {ChoiceKind::dispatch});
    CHECK(wrong->pick(2, ChoiceKind::dispatch) == 0);
    CHECK(wrong->diverged());
}

TEST_CASE("every cluster leaves the dispatcher once") {
    for (const u64 count : {u64{1}, u64{6}, u64{511}, u64{513}, u64{5000}}) {
        for (const auto& choices :
             {std::shared_ptr<Choices>(), Choices::in_order(), Choices::random(count), Choices::adversarial(count)}) {
            Dispatcher dispatcher;
            dispatcher.start(count, choices.get());
            std::vector<u64> taken;
            for (u64 k = 0; k < count; ++k) {
                CHECK(dispatcher.pending() == count - k);
                const auto cluster = k % 3 ? dispatcher.launch() : dispatcher.cancel();
                REQUIRE(cluster);
                taken.push_back(*cluster);
            }
            CHECK(dispatcher.pending() == 0);
            CHECK(!dispatcher.launch());
            CHECK(!dispatcher.cancel());
            const bool increasing = std::is_sorted(taken.begin(), taken.end());
            if (!choices || !choices->decides(ChoiceKind::order)) CHECK(increasing);
            if (choices && choices->decides(ChoiceKind::order) && count > 500) CHECK(!increasing);
            std::sort(taken.begin(), taken.end());
            std::vector<u64> all(count);
            std::iota(all.begin(), all.end(), u64{0});
            CHECK(taken == all);
        }
    }
    // from two threads
    Dispatcher dispatcher;
    dispatcher.start(20000, nullptr);
    std::vector<u64> taken[2];
    const auto work = [&](int k) {
        while (const auto cluster = k ? dispatcher.launch() : dispatcher.cancel()) taken[k].push_back(*cluster);
    };
    std::thread other(work, 1);
    work(0);
    other.join();
    taken[0].insert(taken[0].end(), taken[1].begin(), taken[1].end());
    std::sort(taken[0].begin(), taken[0].end());
    CHECK(taken[0].size() == 20000);
    CHECK(std::unique(taken[0].begin(), taken[0].end()) == taken[0].end());
}
