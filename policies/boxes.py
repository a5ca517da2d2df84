"""The boxes of the security diagram, in its order: each layer, its boxes, and what NIST SP 800-53 calls what they do."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """One box: how the diagram calls it, the layer it is in, and the controls of NIST SP 800-53 revision 5 it stands for."""

    title: str
    layer: str
    nist: tuple[str, ...]


BOXES: Mapping[str, Box] = {
    "external-firewall": Box("External Firewall", "Perimeter Security", ("SC-7", "AC-4")),
    "ddos-protection": Box("DDoS Protection", "Perimeter Security", ("SC-5",)),
    "waf": Box("Web Application Firewall", "Perimeter Security", ("SI-10", "SC-7")),
    "intrusion-detection": Box("Intrusion Detection", "Perimeter Security", ("SI-4",)),
    "vpn-gateway": Box("VPN Gateway", "Network Security", ("AC-17", "IA-2")),
    "internal-firewall": Box("Internal Firewall", "Network Security", ("SC-7", "SC-7(5)", "AC-4")),
    "network-segmentation": Box("Network Segmentation", "Network Security", ("SC-7(21)", "SC-3")),
    "traffic-inspection": Box("Traffic Inspection", "Network Security", ("SC-8", "SI-4(4)")),
    "api-gateway": Box("API Gateway", "Application Security", ("SC-7", "SC-8")),
    "authentication": Box("Authentication Service", "Application Security", ("IA-2", "IA-5", "IA-9")),
    "authorization": Box("Authorization Service", "Application Security", ("AC-3", "AC-6")),
    "input-validation": Box("Input Validation", "Application Security", ("SI-10",)),
    "encryption-service": Box("Encryption Service", "Data Security", ("SC-8", "SC-13", "SC-17", "SC-28")),
    "key-management": Box("Key Management", "Data Security", ("SC-12", "IA-5")),
    "database-security": Box("Database Security", "Data Security", ("AC-6", "AU-12", "IA-9", "SC-8")),
    "backup-encryption": Box("Backup Encryption", "Data Security", ("CP-9", "CP-9(8)")),
    "security-monitoring": Box("Security Monitoring", "Monitoring & Compliance", ("SI-4", "SI-4(5)")),
    "audit-logging": Box("Audit Logging", "Monitoring & Compliance", ("AU-2", "AU-5", "AU-9", "AU-11", "AU-12")),
    "compliance-reporting": Box("Compliance Reporting", "Monitoring & Compliance", ("CA-2", "CA-7", "CM-6")),
    "vulnerability-scanning": Box(
        "Vulnerability Scanning", "Monitoring & Compliance", ("RA-5", "SA-22", "SI-2", "SR-4")
    ),
    "incident-detection": Box("Incident Detection", "Incident Response", ("SI-4", "IR-4")),
    "automated-response": Box("Automated Response", "Incident Response", ("IR-4", "IR-4(1)")),
    "forensics": Box("Digital Forensics", "Incident Response", ("AC-6(9)", "AU-9", "AU-11", "IR-4")),
    "recovery": Box("Recovery Procedures", "Incident Response", ("CP-10", "CP-4", "IR-4")),
}
