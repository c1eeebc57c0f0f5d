// Lists in macros: compilers cut options at commas, so a list comes as (1)(2)(4); its items take turns: 1, EVEN_ITEM
// (2)(4) → 1, 2, ODD_ITEM (4) → 1, 2, 4, EVEN_ITEM, which without an argument is the name of an item that nothing
// reads.
#pragma once
#include "common.cuh"

#define ODD_ITEM(value) value, EVEN_ITEM
#define EVEN_ITEM(value) value, ODD_ITEM
enum { ODD_ITEM, EVEN_ITEM };
/** A function NAME(at) whose values are the items; it folds to a constant where loops unroll. */
#define LIST(NAME, ITEMS)                                                                                                          \
  INLINE constexpr int NAME(int at) {                                                                                              \
    constexpr int values[] = {ODD_ITEM ITEMS};                                                                                     \
    return values[at];                                                                                                             \
  }

template <int VALUE> struct Constant {
  static constexpr int value = VALUE;
};
/** Calls f(Constant<first>), …, f(Constant<end − 1>): a loop whose count is a constant for all that it calls. */
template <int FIRST, int END, typename F> INLINE void forEachConstant(F f) {
  if constexpr (FIRST < END) {
    f(Constant<FIRST>{});
    forEachConstant<FIRST + 1, END>(f);
  }
}
