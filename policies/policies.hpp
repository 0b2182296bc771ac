#pragma once

// All policies, and what schedules kernels under them.
#include "policies/parse.hpp"
#include "policies/rules/every_nth.hpp"
#include "policies/rules/greedy.hpp"
#include "policies/rules/max_steals.hpp"
#include "policies/rules/never_steal.hpp"
#include "policies/rules/selective_blocks.hpp"
#include "policies/rules/time_budget.hpp"
#include "policies/schedule.hpp"
