// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AuditAnchor} from "../src/AuditAnchor.sol";
import {Coprocessor} from "../src/Coprocessor.sol";
import {Disputes} from "../src/Disputes.sol";
import {FraudProofs} from "../src/FraudProofs.sol";
import {ModelRegistry} from "../src/ModelRegistry.sol";
import {OperatorRegistry} from "../src/OperatorRegistry.sol";
import {VerifierRouter} from "../src/VerifierRouter.sol";
import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {IVerifier} from "../src/interfaces/IVerifier.sol";
import {Claim, Evidence, Request} from "../src/libraries/Types.sol";
import {QuorumVerifier} from "../src/verifiers/QuorumVerifier.sol";
import {vm} from "./Vm.sol";
import {TruthVerifier} from "./hostile/TruthVerifier.sol";

/// @title One deployment, from the artifacts that ship, in the order of contracts/README.md
/// @notice Proofs are those of a double (hostile/TruthVerifier.sol): what is tested here is what is done with them.
///         Settles in ether, unless a test names a token. Eight operators on seats 0, 10, 20, … 70; one opaque and one
///         canonical model; a quorum policy of 2.
abstract contract Deployment {
    uint96 internal constant MIN_STAKE_WEI = 1 ether;
    uint64 internal constant UNBONDING_SECONDS = 14 days;
    uint256 internal constant OPERATORS = 8;
    bytes4 internal constant QUORUM = bytes4(keccak256("affidavit.verifier.quorum-ecdsa.v1"));
    bytes4 internal constant PROOF = bytes4(keccak256("affidavit.verifier.proof.v1"));
    address internal constant OWNER = address(0x0123);
    address internal constant GUARDIAN = address(0x456);
    address internal constant REFUND_TO = address(0xBEEF);

    ModelRegistry internal models;
    OperatorRegistry internal operators;
    QuorumVerifier internal quorum;
    TruthVerifier internal truth;
    VerifierRouter internal router;
    Coprocessor internal coprocessor;
    FraudProofs internal frauds;
    Disputes internal disputes;
    AuditAnchor internal anchors;
    address internal asset;
    bytes32 internal modelId;

    function setUp() public virtual {
        asset = deployAsset();
        models = ModelRegistry(deployShipped("ModelRegistry", ""));
        // Five contracts later: the registry knows its slasher before there is one.
        address slasher = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 5);
        operators = deployOperators(slasher);
        quorum = QuorumVerifier(deployShipped("QuorumVerifier", abi.encode(operators)));
        IVerifier proof = deployProofVerifier();
        IVerifier[] memory verifiers = new IVerifier[](2);
        (verifiers[0], verifiers[1]) = (quorum, proof);
        router = VerifierRouter(deployShipped("VerifierRouter", abi.encode(OWNER, GUARDIAN, verifiers)));
        // Two contracts later.
        address ruling = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2);
        coprocessor = place(Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, ruling, asset))));
        frauds = FraudProofs(deployShipped("FraudProofs", abi.encode(coprocessor, router, operators)));
        disputes = Disputes(deployShipped("Disputes", abi.encode(coprocessor, operators, terms())));
        anchors = AuditAnchor(deployShipped("AuditAnchor", ""));
        for (uint256 i; i < OPERATORS; ++i) {
            seat(i);
        }
        modelId = registerOpaque("manifest");
    }

    // ---- deploying --------------------------------------------------------------------------------------------

    /// @dev The double, unless a test has true proofs.
    function deployProofVerifier() internal virtual returns (IVerifier) {
        truth = TruthVerifier(deploy("TruthVerifier", vm.getCode("TruthVerifier.sol:TruthVerifier")));
        return truth;
    }

    /// @dev Where it was created, unless a test has proofs for another place.
    function place(Coprocessor created) internal virtual returns (Coprocessor) {
        return created;
    }

    /// @dev What ships is what is tested; Artifacts.t.sol holds that it is also what forge compiled just now.
    function deployShipped(string memory name, bytes memory arguments) internal returns (address) {
        string memory artifact = vm.readFile(string.concat("oracle/artifacts/", name, ".json"));
        return deploy(name, bytes.concat(vm.parseJsonBytes(artifact, ".bytecode"), arguments));
    }

    function deploy(string memory name, bytes memory creation) internal returns (address deployed) {
        assembly {
            deployed := create(0, add(creation, 0x20), mload(creation))
        }
        vm.assertTrue(deployed != address(0), name);
    }

    /// @dev No audits, unless a test is about them: other tests' answers are final when they are due.
    function terms() internal pure virtual returns (IDisputes.Terms memory) {
        return IDisputes.Terms({
            bondWei: 0.1 ether,
            committeeSize: 5,
            drawSeconds: 600,
            commitSeconds: 1200,
            revealSeconds: 900,
            auditOneIn: 0
        });
    }

    function deployOperators(address slasher) internal returns (OperatorRegistry) {
        bytes memory arguments = abi.encode(OWNER, MIN_STAKE_WEI, UNBONDING_SECONDS, address(0), slasher, asset);
        return OperatorRegistry(deployShipped("OperatorRegistry", arguments));
    }

    function registerOpaque(bytes memory manifest) internal returns (bytes32) {
        return models.register(2, keccak256(manifest), "", new bytes32[](0), "file:manifest.json");
    }

    // ---- operators --------------------------------------------------------------------------------------------

    function keyOf(uint256 i) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("signing key", i)));
    }

    function operatorAt(uint256 i) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("operator", i)))));
    }

    function seatIndexOf(uint256 i) internal pure returns (uint8) {
        return uint8(i * 10);
    }

    function seat(uint256 i) internal {
        address operator = operatorAt(i);
        address signer = vm.addr(keyOf(i));
        bytes memory possession = signDigest(keyOf(i), operators.computePossessionDigest(operator, signer));
        stake(operator, seatIndexOf(i), signer, possession);
    }

    // ---- the asset: ether, unless a test settles in a token (TokenDeployment) -----------------------------------

    function deployAsset() internal virtual returns (address) {
        return address(0);
    }

    function stake(address operator, uint8 index, address signer, bytes memory possession) internal virtual {
        vm.deal(operator, MIN_STAKE_WEI);
        vm.prank(operator);
        operators.register{value: MIN_STAKE_WEI}(index, signer, possession);
    }

    function raise(address operator, uint256 amountWei) internal virtual {
        vm.deal(operator, amountWei);
        vm.prank(operator);
        operators.addStake{value: amountWei}();
    }

    /// @dev Puts `amountWei` of the asset into the balance of `account`.
    function fund(address account, uint256 amountWei) internal virtual {
        vm.deal(address(this), amountWei);
        coprocessor.depositFor{value: amountWei}(account);
    }

    function askAndPay(Request memory asked, bytes memory input) internal virtual returns (bytes32 id) {
        vm.deal(asked.requester, asked.feeWei);
        vm.prank(asked.requester);
        return coprocessor.request{value: asked.feeWei}(
            asked.modelId, input, asked.policy, asked.callbackGas, asked.deadline, asked.refundTo
        );
    }

    function assetsOf(address account) internal view virtual returns (uint256) {
        return account.balance;
    }

    // ---- policies, requests, evidence -------------------------------------------------------------------------

    function quorumPolicy(uint8 k, uint32 windowSeconds) internal pure returns (bytes32) {
        return bytes32(abi.encodePacked(uint8(1), k, uint8(0), windowSeconds, bytes25(0)));
    }

    function disputablePolicy(uint8 k, uint32 windowSeconds) internal pure returns (bytes32) {
        return bytes32(abi.encodePacked(uint8(1), k, uint8(8), windowSeconds, bytes25(0)));
    }

    function proofPolicy(uint8 k, uint32 windowSeconds) internal pure returns (bytes32) {
        return bytes32(abi.encodePacked(uint8(1), k, uint8(1), windowSeconds, bytes25(0)));
    }

    /// @dev The request that `ask` would make next, for callers that have no other way to know it.
    function nextRequest(address requester, bytes memory input, bytes32 policy, uint256 feeWei, uint32 callbackGas)
        internal
        view
        returns (Request memory)
    {
        return Request({
            requester: requester,
            refundTo: REFUND_TO,
            modelId: modelId,
            inputDigest: keccak256(input),
            policy: policy,
            feeWei: feeWei,
            callbackGas: callbackGas,
            deadline: uint64(block.timestamp + 1 hours),
            nonce: coprocessor.nextNonce()
        });
    }

    /// @dev Makes the request on chain in the name of `requester`.
    function ask(address requester, bytes memory input, bytes32 policy, uint256 feeWei, uint32 callbackGas)
        internal
        returns (Request memory asked)
    {
        asked = nextRequest(requester, input, policy, feeWei, callbackGas);
        bytes32 id = askAndPay(asked, input);
        vm.assertEq(id, coprocessor.computeRequestId(asked));
    }

    function claimDigestOf(Request memory asked, bytes memory output) internal view returns (bytes32) {
        bytes32 id = coprocessor.computeRequestId(asked);
        return coprocessor.computeClaimDigest(Claim(id, asked.modelId, asked.inputDigest, keccak256(output)));
    }

    /// @dev Quorum evidence of the first `count` operators, starting with operator `first`.
    function quorumData(Request memory asked, bytes memory output, uint256 first, uint256 count)
        internal
        view
        returns (bytes memory data)
    {
        bytes32 digest = claimDigestOf(asked, output);
        uint256 bitmap;
        for (uint256 i = first; i < first + count; ++i) {
            bitmap |= 1 << seatIndexOf(i);
            data = bytes.concat(data, signDigest(keyOf(i), digest));
        }
        data = bytes.concat(bytes32(bitmap), data);
    }

    function evidenceOf(Request memory asked, bytes memory output, uint256 count)
        internal
        view
        returns (Evidence[] memory)
    {
        return asEvidence(quorumData(asked, output, 0, count));
    }

    function claimOf(Request memory asked, bytes memory output) internal view returns (Claim memory) {
        bytes32 id = coprocessor.computeRequestId(asked);
        return Claim(id, asked.modelId, asked.inputDigest, keccak256(output));
    }

    /// @dev What a prover who is `beneficiary` makes for this request, if it is true (TruthVerifier.learn).
    function proofOf(Request memory asked, bytes memory output, address beneficiary)
        internal
        view
        returns (Evidence memory)
    {
        return Evidence(PROOF, truth.prove(claimOf(asked, output), beneficiary));
    }

    function asEvidence(bytes memory data) internal pure returns (Evidence[] memory evidence) {
        evidence = new Evidence[](1);
        evidence[0] = Evidence(QUORUM, data);
    }

    function signDigest(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}
