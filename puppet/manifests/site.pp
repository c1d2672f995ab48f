# A machine has exactly one role. The bake names it by the fact `role`
# (FACTER_role); who names none gets the web server.
node default {
  include "role::${pick($facts['role'], 'web')}"
}
