"""Studies: many searches, trainings and random cells that answer one question, each an ordinary run in a folder.

`plan` says which runs there are, as far as the finished ones allow; `perform` runs them, here (`local`) or on Ray
(`cluster`), each in a process of its own (`cli.study_run`); `table` and `page` tell what came out.
"""
