#include "cli/commands.h"

namespace tenure::cli {

const std::vector<Command>& commands() {
  static const std::vector<Command> table = {
      run_command(),         resume_command(),      validate_command(),     plan_command(),
      graph_command(),       generate_command(),    report_command(),       compare_command(),
      watch_command(),       plugin_list_command(), plugin_show_command(),  plugin_new_command(),
      plugin_check_command(), plugin_doctor_command(), bench_command(),     eval_command(),
      train_command(),
      tokenize_command(),    inspect_command(),     demo_command(),         doctor_command(),
      explain_command(),     completion_command(),
  };
  return table;
}

}  // namespace tenure::cli
