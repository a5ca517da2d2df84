"""The rules: pure functions over plain data, importable without the SDK's server."""

from policies.rule import AnyRule
from policies.rules.accounts import ACCOUNT_RULES
from policies.rules.admission import ADMISSION_RULES
from policies.rules.alerts import ALERT_RULES
from policies.rules.authentication import AUTHENTICATION_RULES
from policies.rules.availability import AVAILABILITY_RULES
from policies.rules.backups import BACKUP_RULES
from policies.rules.certificates import CERTIFICATE_RULES
from policies.rules.coverage import covered
from policies.rules.data_network import DATA_NETWORK_RULES
from policies.rules.databases import DATABASE_RULES
from policies.rules.detections import DETECTION_RULES
from policies.rules.durability import DURABILITY_RULES
from policies.rules.edge_protection import DDOS_RULES
from policies.rules.encryption import ENCRYPTION_RULES
from policies.rules.escalation import ESCALATION_RULES
from policies.rules.exposure import EXPOSURE_RULES
from policies.rules.gateways import GATEWAY_RULES
from policies.rules.images import IMAGE_RULES
from policies.rules.inputs import INPUT_RULES
from policies.rules.inspection import INSPECTION_RULES
from policies.rules.keys import KEY_RULES
from policies.rules.logs import LOG_RULES
from policies.rules.namespaces import NAMESPACE_RULES
from policies.rules.network import NETWORK_RULES
from policies.rules.network_policies import NETWORK_POLICY_RULES
from policies.rules.pod_host import POD_HOST_RULES
from policies.rules.pod_kernel import POD_KERNEL_RULES
from policies.rules.pod_users import POD_USER_RULES
from policies.rules.pods import POD_RULES
from policies.rules.program import PROGRAM_RULES
from policies.rules.proxies import PROXY_RULES
from policies.rules.quarantine import QUARANTINE_RULES
from policies.rules.queues import QUEUE_RULES
from policies.rules.recovery import RECOVERY_RULES
from policies.rules.references import REFERENCE_RULES
from policies.rules.reliability import RELIABILITY_RULES
from policies.rules.response import RESPONSE_RULES
from policies.rules.rights import RIGHT_RULES
from policies.rules.roles import ROLE_RULES
from policies.rules.rollouts import ROLLOUT_RULES
from policies.rules.routes import ROUTE_RULES
from policies.rules.scanning import SCANNING_RULES
from policies.rules.secrets import SECRET_RULES
from policies.rules.segmentation import SEGMENTATION_RULES
from policies.rules.sensors import SENSOR_RULES
from policies.rules.services import SERVICE_RULES
from policies.rules.signals import SIGNAL_RULES
from policies.rules.versions import VERSION_RULES
from policies.rules.vpn import VPN_RULES
from policies.rules.waf import WAF_RULES

_JUDGING: tuple[AnyRule, ...] = (
    *POD_HOST_RULES,
    *POD_KERNEL_RULES,
    *POD_USER_RULES,
    *POD_RULES,
    *IMAGE_RULES,
    *NETWORK_RULES,
    *ROLE_RULES,
    *RIGHT_RULES,
    *ACCOUNT_RULES,
    *ESCALATION_RULES,
    *ALERT_RULES,
    *SIGNAL_RULES,
    *SENSOR_RULES,
    *DETECTION_RULES,
    *LOG_RULES,
    *SCANNING_RULES,
    *RESPONSE_RULES,
    *NETWORK_POLICY_RULES,
    *SEGMENTATION_RULES,
    *QUARANTINE_RULES,
    *DATA_NETWORK_RULES,
    *EXPOSURE_RULES,
    *DDOS_RULES,
    *WAF_RULES,
    *VPN_RULES,
    *INSPECTION_RULES,
    *GATEWAY_RULES,
    *PROXY_RULES,
    *ROUTE_RULES,
    *AUTHENTICATION_RULES,
    *INPUT_RULES,
    *ADMISSION_RULES,
    *SECRET_RULES,
    *CERTIFICATE_RULES,
    *ENCRYPTION_RULES,
    *DATABASE_RULES,
    *QUEUE_RULES,
    *BACKUP_RULES,
    *RECOVERY_RULES,
    *RELIABILITY_RULES,
    *ROLLOUT_RULES,
    *AVAILABILITY_RULES,
    *SERVICE_RULES,
    *REFERENCE_RULES,
    *DURABILITY_RULES,
    *NAMESPACE_RULES,
    *VERSION_RULES,
    *PROGRAM_RULES,
    *KEY_RULES,
)
RULES: tuple[AnyRule, ...] = (*_JUDGING, covered(_JUDGING))
