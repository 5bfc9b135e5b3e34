"""Expressions over variables and registers, as conditions of breakpoints and as what is watched: ``t->list.next->value == 3 && $eax != 0``.

choice     = or [ "?" choice ":" choice ]
or         = and { "||" and }               and     = bits { "&&" bits }
bits       = C's "|", "^", "&", "==", "!=", "<", "<=", ">", ">=", "<<", ">>", "+", "-", "*", "/", "%", as closely as C has them
prefix     = ( "*" | "&" | "-" | "+" | "~" | "!" | "sizeof" | "(" type ")" | "{" type "}" ) prefix | "sizeof" "(" type ")" | postfix
postfix    = primary { "." NAME | "->" NAME | "[" choice "]" }
primary    = NAMED | "$" REGISTER | NUMBER | CHARACTER | "(" choice ")"
type       = [ "struct" | "union" | "enum" | "class" ] NAMED { "*" } ( { "[" NUMBER "]" } | "(" "*" { "*" } ")" "[" NUMBER "]" { "[" NUMBER "]" } )
NAMED      = [ "::" ] NAME { "::" NAME }

They are C's, without calls and assignments: what would change the machine cannot be written. Numbers are converted as C does it for i386; a function's
name is its address. From gdb there are ``{struct task} 0x10a000``, what lies at an address, ``*first@4``, an array of things that lie side by side, more loosely bound than "+",
and "." of pointers. Of floating-point numbers there is no arithmetic. The outer scopes of a name in C++ or Rust may be left out, as long as it means one thing: ``sched::queue``.
"""

__all__ = ["arithmetic", "expression"]
