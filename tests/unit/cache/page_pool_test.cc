// Runs of pages: who gets which, who shares, what is counted.
#include "cache/page_pool.h"

#include <algorithm>
#include <map>
#include <random>

#include "unit/session/tiny_host.h"

namespace tenure::test {
namespace {

TinyHost& host() {
  static TinyHost tiny;
  return tiny;
}

PagePool pool_of(uint64_t n_runs) {
  const tenure_page_layout layout = host().backend().page_layout(16, Dtype::f32, Dtype::f32);
  return PagePool(host().backend(), 16, Dtype::f32, Dtype::f32, n_runs * run_pages * layout.page_bytes);
}

using Pages = std::vector<uint32_t>;

}  // namespace

TEST_CASE("page pool - hands out runs of consecutive pages, low indices first") {
  PagePool pool = pool_of(4);
  KvAccount account;
  Pages pages;
  CHECK(pool.take(1, account, pages));
  CHECK(pages == Pages{0, 1, 2, 3});
  CHECK(pool.take(2, account, pages));  // appended
  CHECK(pages == Pages{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(account.bytes == 3 * pool.run_bytes());
}

TEST_CASE("page pool - the lowest released run is handed out next") {
  PagePool pool = pool_of(6);
  KvAccount account;
  Pages pages;
  CHECK(pool.take(5, account, pages));
  pool.release(Pages{12, 13, 14, 15}, account);
  pool.release(Pages{4, 5, 6, 7}, account);
  Pages again;
  CHECK(pool.take(3, account, again));
  CHECK(again == Pages{4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23});
}

TEST_CASE("page pool - a request that does not fit takes nothing") {
  PagePool pool = pool_of(3);
  KvAccount account;
  Pages pages;
  CHECK(pool.take(2, account, pages));
  const KvAccount before = account;
  CHECK_FALSE(pool.take(2, account, pages));
  CHECK(pages.size() == 8);
  CHECK(account.bytes == before.bytes);
  CHECK(account.peak_bytes == before.peak_bytes);
  CHECK(pool.bytes_in_use() == 2 * pool.run_bytes());
  CHECK(pool.take(1, account, pages));
}

TEST_CASE("page pool - a shared run is freed by its last holder") {
  PagePool pool = pool_of(2);
  KvAccount account;
  Pages pages;
  CHECK(pool.take(1, account, pages));
  CHECK_FALSE(pool.is_shared(2));
  pool.share(pages);
  CHECK(pool.is_shared(2));
  CHECK(account.bytes == pool.run_bytes());  // one run, however many hold it
  pool.release(pages, account);
  CHECK_FALSE(pool.is_shared(2));
  CHECK(pool.bytes_in_use() == pool.run_bytes());
  pool.release(pages, account);
  CHECK(pool.bytes_in_use() == 0);
  CHECK(account.bytes == 0);
}

TEST_CASE("page pool - peaks are the most that was held at one time") {
  PagePool pool = pool_of(8);
  KvAccount a, b;
  Pages of_a, of_b;
  CHECK(pool.take(3, a, of_a));
  pool.release(of_a, a);
  CHECK(pool.take(2, b, of_b));
  CHECK(pool.peak_bytes() == 3 * pool.run_bytes());
  CHECK(a.peak_bytes == 3 * pool.run_bytes());
  CHECK(b.peak_bytes == 2 * pool.run_bytes());
  of_a.clear();
  CHECK(pool.take(2, a, of_a));
  CHECK(pool.peak_bytes() == 4 * pool.run_bytes());
  CHECK(a.peak_bytes == 3 * pool.run_bytes());
}

TEST_CASE("page pool - random takes, shares and releases agree with a map of holders") {
  constexpr uint32_t n_runs = 40;
  PagePool pool = pool_of(n_runs);
  KvAccount account;
  std::map<uint32_t, uint32_t> holders;  // by run
  std::mt19937 random(7);
  for (int i = 0; i < 4000; ++i) {
    const uint32_t what = random() % 4;
    if (what < 2) {
      Pages pages;
      const uint32_t n = random() % 5;
      CHECK(pool.take(n, account, pages) == (holders.size() + n <= n_runs));
      uint32_t lowest = 0;
      for (size_t p = 0; p < pages.size(); p += run_pages) {
        while (holders.contains(lowest)) ++lowest;
        REQUIRE(pages[p] == lowest * run_pages);
        holders[lowest] = 1;
      }
    } else if (!holders.empty()) {
      auto it = holders.begin();
      std::advance(it, random() % holders.size());
      const uint32_t first = it->first * run_pages;
      const Pages run = {first, first + 1, first + 2, first + 3};
      if (what == 2) {
        pool.share(run);
        ++it->second;
      } else {
        pool.release(run, account);
        if (--it->second == 0) holders.erase(it);
      }
    }
    REQUIRE(pool.bytes_in_use() == holders.size() * pool.run_bytes());
    REQUIRE(account.bytes == pool.bytes_in_use());
  }
  CHECK(account.peak_bytes == pool.peak_bytes());
}

}  // namespace tenure::test
