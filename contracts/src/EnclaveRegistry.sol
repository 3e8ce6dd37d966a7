// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {OperatorRegistry} from "./OperatorRegistry.sol";
import {IDcapVerifier} from "./interfaces/IDcapVerifier.sol";
import {IEnclaveRegistry} from "./interfaces/IEnclaveRegistry.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {IVerifier} from "./interfaces/IVerifier.sol";
import {Claim} from "./libraries/Types.sol";

/// @title EnclaveRegistry: attest a key once, then verify its signatures
/// @notice An operator draws a nonce, and its enclave makes a quote bound to that nonce. Then either other operators
///         verify the quote off chain and sign what they found (`register`), or, of SGX and TDX, this chain verifies it
///         (`registerDirect`) and asks operators only which measurements are theirs to trust. From then on a signature
///         of the key is evidence, until it expires or is revoked, and only while the operator is active: an enclave
///         counts together with a stake.
/// @dev WARNING: either way whoever holds QUORUM seats decides: it can register any key, or approve the measurement of
///      any software. A policy that demands an enclave must demand a quorum or a proof as well (libraries/Policy.sol).
contract EnclaveRegistry is IEnclaveRegistry, EIP712 {
    bytes32 internal constant ATTESTATION_TYPEHASH = keccak256(
        "EnclaveAttestation(address key,address operator,uint8 platform,bytes32 measurement,bytes32 runtimeDigest,"
        "bytes32 quoteDigest,uint64 expiresAt,bytes32 nonce)"
    );
    bytes32 internal constant REVOCATION_TYPEHASH = keccak256("EnclaveRevocation(address key,bytes32 reason)");
    bytes32 internal constant DECISION_TYPEHASH = keccak256(
        "MeasurementDecision(uint8 platform,bytes32 measurement,bytes32 runtimeDigest,bool isApproved,uint64 decision)"
    );
    bytes32 internal constant REPORT_DATA_DOMAIN = keccak256("affidavit.enclave.report-data.v1");

    /// @notice A key attested on firmware that was broken since is believed for this long at most.
    uint64 public constant MAX_LIFETIME_SECONDS = 30 days;
    /// @notice How long a nonce can be used.
    uint64 public constant NONCE_SECONDS = 1 days;

    uint8 public constant SEV_SNP = 4;
    uint8 public constant SIMULATED = 255;

    OperatorRegistry public immutable OPERATORS;
    /// @notice Verifies the operators' signatures: any verifier of kind QUORUM over the same registry.
    IVerifier public immutable QUORUM_VERIFIER;
    /// @notice How many operators must sign, the one who registers not counted.
    uint8 public immutable QUORUM;
    /// @notice Verifies quotes for `registerDirect`; zero where nothing does.
    IDcapVerifier public immutable DCAP;

    struct Begun {
        bytes32 nonce;
        uint64 until;
    }

    /// @dev A Key, and how it came here: one registered directly counts only while its measurement is approved.
    struct Known {
        address operator;
        uint8 platform;
        bool isRevoked;
        bool isDirect;
        uint64 expiresAt;
        bytes32 measurement;
        bytes32 runtimeDigest;
        bytes32 quoteDigest;
    }

    mapping(address operator => Begun) private _begun;
    mapping(address operator => uint256 count) private _countOf;
    mapping(address key => Known) private _keys;
    mapping(bytes32 approval => Approval) private _approvals;

    /// @param dcap Zero for a registry whose quotes a quorum verifies, all of them.
    constructor(OperatorRegistry operators, IVerifier quorumVerifier, uint8 quorum, IDcapVerifier dcap)
        EIP712("AffidavitEnclaves", "1")
    {
        if (quorum == 0) revert NoQuorum();
        DCAP = dcap;
        OPERATORS = operators;
        QUORUM_VERIFIER = quorumVerifier;
        QUORUM = quorum;
    }

    // ---- registering ------------------------------------------------------------------------------------------

    /// @notice Draws the nonce of the caller's next registration. It cannot be known before this block, so what is
    ///         bound to it was made afterwards; the one drawn before counts for nothing from here on.
    function begin() external returns (bytes32 nonce) {
        _requireActive(msg.sender);
        bytes32 seed = keccak256(abi.encode(block.chainid, address(this), msg.sender, _countOf[msg.sender]++));
        nonce = keccak256(abi.encode(seed, blockhash(block.number - 1), block.prevrandao));
        uint64 until = uint64(block.timestamp) + NONCE_SECONDS;
        _begun[msg.sender] = Begun(nonce, until);
        emit RegistrationBegun(msg.sender, nonce, until);
    }

    /// @notice Registers the caller's enclave key, or renews it.
    /// @param quorum Signatures of QUORUM other operators over the attestation, as the quorum verifier takes them.
    function register(Attestation calldata attestation, bytes calldata quorum) external {
        if (msg.sender != attestation.operator) revert NotTheOperator(attestation.operator, msg.sender);
        _requireActive(msg.sender);
        if (!_isPlatform(attestation.platform)) revert PlatformUnknown(attestation.platform);
        _requireFree(attestation.key);
        _requireExpiry(attestation.expiresAt, type(uint64).max);
        _useNonce(attestation.nonce);
        _requireOthers(computeAttestationDigest(attestation), quorum);

        Known memory it = Known({
            operator: attestation.operator,
            platform: attestation.platform,
            isRevoked: false,
            isDirect: false,
            expiresAt: attestation.expiresAt,
            measurement: attestation.measurement,
            runtimeDigest: attestation.runtimeDigest,
            quoteDigest: attestation.quoteDigest
        });
        _register(attestation.key, it);
    }

    /// @notice Registers the caller's enclave key, or renews it, on a quote that this chain verifies: of an enclave
    ///         whose measurement a quorum approved, for this registration and no other.
    /// @param quote SGX version 3 or TDX version 4 or 5, without padding (IDcapVerifier.verify).
    function registerDirect(DirectRegistration calldata it, bytes calldata quote) external {
        if (address(DCAP) == address(0)) revert NoDcapVerifier();
        _requireActive(msg.sender);
        _requireFree(it.key);
        _useNonce(it.nonce);
        IDcapVerifier.Verified memory found = DCAP.verify(quote);
        _requireExpiry(it.expiresAt, found.expiresAt);
        bytes32 expected = computeReportData(msg.sender, it.key, it.runtimeDigest, it.nonce);
        if (found.reportDataHead != expected || found.reportDataTail != 0) {
            revert ReportDataMismatch(expected, found.reportDataHead, found.reportDataTail);
        }
        _requireApproved(found.platform, found.measurement, it.runtimeDigest);

        Known memory known = Known({
            operator: msg.sender,
            platform: found.platform,
            isRevoked: false,
            isDirect: true,
            expiresAt: it.expiresAt,
            measurement: found.measurement,
            runtimeDigest: it.runtimeDigest,
            quoteDigest: found.quoteDigest
        });
        _register(it.key, known);
        emit EnclaveVerifiedOnChain(it.key, _approvalOf(found.platform, found.measurement, it.runtimeDigest));
    }

    /// @notice Approves a measurement with a runtime for `registerDirect`, or withdraws that, on the signatures of
    ///         QUORUM operators. Anybody may submit them. While it is withdrawn no key that was registered so counts.
    function decideMeasurement(
        uint8 platform,
        bytes32 measurement,
        bytes32 runtimeDigest,
        bool isApproved,
        bytes calldata quorum
    ) external {
        if (address(DCAP) == address(0)) revert NoDcapVerifier();
        _verifyQuorum(computeDecisionDigest(platform, measurement, runtimeDigest, isApproved), quorum);
        Approval storage approval = _approvals[_approvalOf(platform, measurement, runtimeDigest)];
        approval.isApproved = isApproved;
        emit MeasurementDecided(platform, measurement, runtimeDigest, isApproved, approval.decisions++);
    }

    // ---- revoking ---------------------------------------------------------------------------------------------

    /// @notice Revokes the caller's own key, for ever.
    function revoke(address key, bytes32 reason) external {
        address operator = _keys[key].operator;
        if (operator == address(0)) revert KeyUnknown(key);
        if (msg.sender != operator) revert NotTheOperator(operator, msg.sender);
        _revoke(key, reason, true);
    }

    /// @notice Revokes anybody's key, for ever, on the signatures of QUORUM operators. Anybody may submit them.
    function revokeByQuorum(address key, bytes32 reason, bytes calldata quorum) external {
        if (_keys[key].operator == address(0)) revert KeyUnknown(key);
        _verifyQuorum(computeRevocationDigest(key, reason), quorum);
        _revoke(key, reason, false);
    }

    // ---- reading ----------------------------------------------------------------------------------------------

    /// @inheritdoc IEnclaveRegistry
    function keyOf(address key) external view returns (Key memory) {
        Known memory it = _keys[key];
        return
            Key(it.operator, it.platform, it.isRevoked, it.expiresAt, it.measurement, it.runtimeDigest, it.quoteDigest);
    }

    /// @notice Whether a key was registered on a quote that this chain verified, the last time that it was.
    function isDirect(address key) external view returns (bool) {
        return _keys[key].isDirect;
    }

    /// @inheritdoc IEnclaveRegistry
    function requireValid(address key) external view returns (address operator, bool isSimulated) {
        Known storage known = _keys[key];
        operator = known.operator;
        if (operator == address(0)) revert KeyUnknown(key);
        if (known.isRevoked) revert KeyRevoked(key);
        if (block.timestamp >= known.expiresAt) revert KeyExpired(key, known.expiresAt);
        if (known.isDirect) _requireApproved(known.platform, known.measurement, known.runtimeDigest);
        _requireActive(operator);
        isSimulated = known.platform == SIMULATED;
    }

    /// @notice The operator a key was ever registered by; zero for a key never seen. Never cleared, so what a key
    ///         signed can be held against its operator also after its end.
    function operatorOf(address key) external view returns (address) {
        return _keys[key].operator;
    }

    /// @notice The nonce of `operator`'s registration, and until when it can be used; zeros where none is begun.
    function nonceOf(address operator) external view returns (bytes32 nonce, uint64 until) {
        Begun storage begun = _begun[operator];
        return (begun.nonce, begun.until);
    }

    /// @notice The first 32 bytes of what the enclave puts into its quote; 32 zero bytes follow.
    function computeReportData(address operator, address key, bytes32 runtimeDigest, bytes32 nonce)
        public
        view
        returns (bytes32)
    {
        return keccak256(
            abi.encode(REPORT_DATA_DOMAIN, block.chainid, address(this), operator, key, runtimeDigest, nonce)
        );
    }

    /// @notice What operators sign to register a key.
    function computeAttestationDigest(Attestation calldata attestation) public view returns (bytes32) {
        // An Attestation has static fields only, so its ABI encoding is EIP-712's encodeData.
        return _hashTypedDataV4(keccak256(abi.encode(ATTESTATION_TYPEHASH, attestation)));
    }

    /// @notice What operators sign to revoke a key.
    function computeRevocationDigest(address key, bytes32 reason) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(REVOCATION_TYPEHASH, key, reason)));
    }

    /// @notice What operators sign to approve a measurement, or to withdraw that: their next decision about it.
    function computeDecisionDigest(uint8 platform, bytes32 measurement, bytes32 runtimeDigest, bool isApproved)
        public
        view
        returns (bytes32)
    {
        uint64 decision = _approvals[_approvalOf(platform, measurement, runtimeDigest)].decisions;
        return _hashTypedDataV4(
            keccak256(abi.encode(DECISION_TYPEHASH, platform, measurement, runtimeDigest, isApproved, decision))
        );
    }

    /// @notice Whether keys of this measurement with this runtime may be registered directly, and how many decisions
    ///         there were about it.
    function approvalOf(uint8 platform, bytes32 measurement, bytes32 runtimeDigest)
        external
        view
        returns (Approval memory)
    {
        return _approvals[_approvalOf(platform, measurement, runtimeDigest)];
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function _register(address key, Known memory it) private {
        _keys[key] = it;
        emit EnclaveRegistered(
            key, it.operator, it.platform, it.measurement, it.runtimeDigest, it.quoteDigest, it.expiresAt
        );
    }

    function _requireApproved(uint8 platform, bytes32 measurement, bytes32 runtimeDigest) private view {
        if (!_approvals[_approvalOf(platform, measurement, runtimeDigest)].isApproved) {
            revert MeasurementNotApproved(platform, measurement, runtimeDigest);
        }
    }

    function _approvalOf(uint8 platform, bytes32 measurement, bytes32 runtimeDigest) private pure returns (bytes32) {
        return keccak256(abi.encode(platform, measurement, runtimeDigest));
    }

    function _revoke(address key, bytes32 reason, bool byOperator) private {
        Known storage known = _keys[key];
        if (known.isRevoked) revert KeyRevoked(key);
        known.isRevoked = true;
        emit EnclaveRevoked(key, known.operator, reason, byOperator);
    }

    /// @dev A key is one operator's for ever, and never one that signs claims itself: a quorum's signature would then
    ///      be an enclave's as well.
    function _requireFree(address key) private view {
        if (key == address(0)) revert KeyUnknown(key);
        if (OPERATORS.operatorOf(key) != address(0)) revert KeyIsOperators(key);
        Known storage known = _keys[key];
        if (known.isRevoked) revert KeyRevoked(key);
        if (known.operator != address(0) && known.operator != msg.sender) revert KeyTaken(key, known.operator);
    }

    function _requireExpiry(uint64 expiresAt, uint64 limit) private view {
        uint64 earliest = uint64(block.timestamp) + 1;
        uint64 latest = uint64(block.timestamp) + MAX_LIFETIME_SECONDS;
        if (limit < latest) latest = limit;
        if (expiresAt < earliest || expiresAt > latest) revert ExpiryOutOfRange(earliest, latest, expiresAt);
    }

    function _useNonce(bytes32 nonce) private {
        Begun memory begun = _begun[msg.sender];
        if (begun.nonce == 0 || begun.nonce != nonce) revert NonceUnknown(msg.sender, nonce);
        if (block.timestamp > begun.until) revert NonceOld(begun.until);
        delete _begun[msg.sender];
    }

    function _requireOthers(bytes32 digest, bytes calldata quorum) private view {
        address[] memory signers = _verifyQuorum(digest, quorum);
        for (uint256 i; i < signers.length; ++i) {
            if (signers[i] == msg.sender) revert SignedForItself(msg.sender);
        }
    }

    function _verifyQuorum(bytes32 digest, bytes calldata quorum) private view returns (address[] memory) {
        bytes32 policy = bytes32(abi.encodePacked(uint8(1), QUORUM, bytes30(0)));
        return QUORUM_VERIFIER.verify(Claim(0, 0, 0, 0), digest, policy, "", "", quorum);
    }

    function _requireActive(address operator) private view {
        (, IOperatorRegistry.Seat memory seat) = OPERATORS.operatorInfo(operator);
        if (seat.status != IOperatorRegistry.SeatStatus.ACTIVE) revert OperatorNotActive(operator);
    }

    function _isPlatform(uint8 platform) private pure returns (bool) {
        return (platform != 0 && platform <= SEV_SNP) || platform == SIMULATED;
    }
}
