// One function a verb: its row of the table commands().
#pragma once

#include "cli/command_line.h"

namespace tenure::cli {

Command run_command();
Command resume_command();
Command validate_command();
Command plan_command();
Command graph_command();
Command generate_command();
Command report_command();
Command compare_command();
Command watch_command();
Command plugin_list_command();
Command plugin_show_command();
Command plugin_new_command();
Command plugin_check_command();
Command plugin_doctor_command();
Command bench_command();
Command eval_command();
Command train_command();
Command tokenize_command();
Command inspect_command();
Command demo_command();
Command doctor_command();
Command explain_command();
Command completion_command();

}  // namespace tenure::cli
