# Event channels, mapped grants and grant copies, through blocktap's own classes on the real devices; arguments as of XenDevicesLab.
lab_program XenDevicesLab "${NOTIFICATIONS:-5000}" "${ROUNDS:-50}"
