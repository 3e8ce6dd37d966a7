// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {IBlsKeys} from "./interfaces/IBlsKeys.sol";
import {ICoprocessor} from "./interfaces/ICoprocessor.sol";
import {IDisputes} from "./interfaces/IDisputes.sol";
import {IFraudProofs} from "./interfaces/IFraudProofs.sol";
import {IOperatorRegistry} from "./interfaces/IOperatorRegistry.sol";
import {IVerifier} from "./interfaces/IVerifier.sol";
import {IVerifierRouter} from "./interfaces/IVerifierRouter.sol";
import {Policy} from "./libraries/Policy.sol";
import {Claim, Evidence, EvidenceKind, Request} from "./libraries/Types.sol";
import {BlsQuorumVerifier} from "./verifiers/BlsQuorumVerifier.sol";

/// @title FraudProofs: the OperatorRegistry's slasher, on objective evidence alone
/// @notice Three kinds of evidence: a signed claim with a proof that the model gives another output; two signed claims
///         about one request with different outputs; a signed claim of another output than a committee ruled for. And
///         fines for members of committees who were absent or outvoted. Nobody owns this contract and nothing in it can
///         be changed; it believes the proof verifiers the router resolves, so the router's guardian can stop slashing
///         on proofs, and the rulings of Disputes.
contract FraudProofs is IFraudProofs {
    /// @notice A slashed operator loses its whole stake. One half is the challenger's, the other nobody's, so that an
    ///         operator who proves its own lie, to have the reward itself, still loses half.
    uint256 public constant REWARD_DIVISOR = 2;

    /// @notice A member of a committee that is absent or outvoted loses this part of the least stake: an honest member
    ///         can fail, or be outvoted by others who lie.
    uint256 public constant FINE_DIVISOR = 10;

    /// @notice What is burnt is owed to this address in the registry (its BURNT). Nobody has its key.
    address public constant BURNT = 0x000000000000000000000000000000000000dEaD;

    /// @dev Whose keys BLS signatures are by: those of the verifier behind this selector.
    bytes4 internal constant QUORUM_BLS = bytes4(keccak256("affidavit.verifier.quorum-bls.v1"));

    ICoprocessor public immutable COPROCESSOR;
    IVerifierRouter public immutable ROUTER;
    IOperatorRegistry public immutable OPERATORS;
    /// @notice The Coprocessor's.
    IDisputes public immutable DISPUTES;

    /// @inheritdoc IFraudProofs
    mapping(bytes32 requestId => mapping(address operator => bool)) public wasSlashed;

    /// @inheritdoc IFraudProofs
    mapping(bytes32 requestId => mapping(address member => bool)) public wasFined;

    /// @dev Reverts unless the registry was deployed with this contract as its slasher.
    constructor(ICoprocessor coprocessor, IVerifierRouter router, IOperatorRegistry operators) {
        if (operators.slasher() != address(this)) revert NotTheSlasher(operators.slasher());
        COPROCESSOR = coprocessor;
        ROUTER = router;
        OPERATORS = operators;
        DISPUTES = coprocessor.DISPUTES();
    }

    /// @inheritdoc IFraudProofs
    /// @dev Who has been slashed already is passed over, not refused: otherwise one of several liars could save the
    ///      others by having itself slashed first.
    function proveWrong(
        Claim calldata claim,
        bytes[] calldata signatures,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) external returns (uint256 slashed) {
        if (signatures.length == 0) revert NothingSigned();
        bytes32 outputDigest = keccak256(output);
        if (outputDigest == claim.outputDigest) revert SameOutput(outputDigest);
        address challenger = _requireProven(claim, outputDigest, input, output, evidence);

        bytes32 digest = COPROCESSOR.computeClaimDigest(claim);
        for (uint256 i; i < signatures.length; ++i) {
            address operator = _operatorOf(digest, signatures[i]);
            if (_slash(claim, operator, outputDigest, challenger)) ++slashed;
        }
        if (slashed == 0) revert NobodySlashed(claim.requestId);
    }

    /// @inheritdoc IFraudProofs
    function proveWrongTogether(
        Claim calldata claim,
        BlsSigned calldata signed,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) external returns (uint256 slashed) {
        bytes32 outputDigest = keccak256(output);
        if (outputDigest == claim.outputDigest) revert SameOutput(outputDigest);
        address challenger = _requireProven(claim, outputDigest, input, output, evidence);
        address[] memory signers = _signersOf(claim, signed);
        for (uint256 i; i < signers.length; ++i) {
            if (_slash(claim, signers[i], outputDigest, challenger)) ++slashed;
        }
        if (slashed == 0) revert NobodySlashed(claim.requestId);
    }

    /// @inheritdoc IFraudProofs
    function proveEquivocationTogether(
        Claim calldata first,
        BlsSigned calldata firstSigned,
        Claim calldata second,
        BlsSigned calldata secondSigned
    ) external returns (uint256 slashed) {
        if (first.requestId != second.requestId) {
            revert OtherRequest(first.requestId, second.requestId);
        }
        if (first.outputDigest == second.outputDigest) revert SameOutput(first.outputDigest);
        address[] memory signers = _signersOf(first, firstSigned);
        address[] memory others = _signersOf(second, secondSigned);
        for (uint256 i; i < signers.length; ++i) {
            if (!_isAmong(signers[i], others)) continue;
            if (_slash(first, signers[i], second.outputDigest, msg.sender)) ++slashed;
        }
        if (slashed == 0) revert NobodySlashed(first.requestId);
    }

    /// @inheritdoc IFraudProofs
    function proveEquivocation(
        Claim calldata first,
        bytes calldata firstSignature,
        Claim calldata second,
        bytes calldata secondSignature
    ) external {
        if (first.requestId != second.requestId) {
            revert OtherRequest(first.requestId, second.requestId);
        }
        if (first.outputDigest == second.outputDigest) revert SameOutput(first.outputDigest);
        address operator = _operatorOf(COPROCESSOR.computeClaimDigest(first), firstSignature);
        address other = _operatorOf(COPROCESSOR.computeClaimDigest(second), secondSignature);
        if (operator != other) revert OtherOperator(operator, other);
        if (!_slash(first, operator, second.outputDigest, msg.sender)) revert NobodySlashed(first.requestId);
    }

    /// @inheritdoc IFraudProofs
    function proveOutvoted(Request calldata request, bytes32 outputDigest, bytes[] calldata signatures)
        external
        returns (uint256 slashed)
    {
        if (signatures.length == 0) revert NothingSigned();
        (Claim memory claim, IDisputes.Ruling memory ruling) = _requireOutvoted(request, outputDigest);
        bytes32 digest = COPROCESSOR.computeClaimDigest(claim);
        for (uint256 i; i < signatures.length; ++i) {
            address operator = _operatorOf(digest, signatures[i]);
            if (_slash(claim, operator, ruling.outputDigest, ruling.challenger)) ++slashed;
        }
        if (slashed == 0) revert NobodySlashed(claim.requestId);
    }

    /// @inheritdoc IFraudProofs
    function proveOutvotedTogether(Request calldata request, bytes32 outputDigest, BlsSigned calldata signed)
        external
        returns (uint256 slashed)
    {
        (Claim memory claim, IDisputes.Ruling memory ruling) = _requireOutvoted(request, outputDigest);
        address[] memory signers = _signersOf(claim, signed);
        for (uint256 i; i < signers.length; ++i) {
            if (_slash(claim, signers[i], ruling.outputDigest, ruling.challenger)) ++slashed;
        }
        if (slashed == 0) revert NobodySlashed(claim.requestId);
    }

    /// @inheritdoc IFraudProofs
    function penalizeVoter(bytes32 requestId, address member) external {
        if (!DISPUTES.isFaulty(requestId, member)) revert NotFaulty(requestId, member);
        if (wasFined[requestId][member]) revert AlreadyFined(requestId, member);
        uint256 stakeWei = OPERATORS.stakeOf(member);
        uint256 fineWei = OPERATORS.MIN_STAKE_WEI() / FINE_DIVISOR;
        if (fineWei > stakeWei) fineWei = stakeWei;
        if (fineWei == 0) revert NothingToFine(member);
        wasFined[requestId][member] = true;
        uint256 rewardWei = fineWei / REWARD_DIVISOR;
        uint256 burntWei = fineWei - rewardWei;
        emit VoterFined(requestId, member, msg.sender, rewardWei, burntWei);
        OPERATORS.slash(member, rewardWei, msg.sender);
        OPERATORS.slash(member, burntWei, BURNT);
    }

    /// @inheritdoc IFraudProofs
    function qualityOf(address operator) external view returns (uint64 delivered, uint64 late, uint64 slashed) {
        (delivered, late) = COPROCESSOR.workOf(operator);
        slashed = OPERATORS.slashedCount(operator);
    }

    /// @dev The claim with what was signed, about a request whose answer a committee replaced by another.
    function _requireOutvoted(Request calldata request, bytes32 outputDigest)
        private
        view
        returns (Claim memory claim, IDisputes.Ruling memory ruling)
    {
        bytes32 requestId = COPROCESSOR.computeRequestId(request);
        ruling = DISPUTES.rulingOf(requestId);
        if (ruling.outcome != IDisputes.Outcome.REPLACED) revert NotReplaced(requestId, ruling.outcome);
        if (outputDigest == ruling.outputDigest) revert SameOutput(outputDigest);
        claim = Claim(requestId, request.modelId, request.inputDigest, outputDigest);
    }

    /// @dev The claim with the other output, held to be true by a proof verifier; returns whom its evidence names.
    function _requireProven(
        Claim calldata signed,
        bytes32 outputDigest,
        bytes calldata input,
        bytes calldata output,
        Evidence calldata evidence
    ) private view returns (address challenger) {
        Claim memory proven = Claim(signed.requestId, signed.modelId, signed.inputDigest, outputDigest);
        bytes32 digest = COPROCESSOR.computeClaimDigest(proven);
        IVerifier verifier = ROUTER.resolve(EvidenceKind.PROOF, evidence.selector);
        address[] memory named = verifier.verify(proven, digest, Policy.PROOF, input, output, evidence.data);
        if (named.length == 0) revert NoChallenger();
        return named[0];
    }

    /// @dev Keys that were rotated away or left are known for ever, so what they signed still counts.
    function _operatorOf(bytes32 digest, bytes calldata signature) private view returns (address operator) {
        // On any error `signer` is zero, and nobody registers the zero address as a key.
        (address signer,,) = ECDSA.tryRecoverCalldata(digest, signature);
        operator = OPERATORS.operatorOf(signer);
        if (operator == address(0)) revert NotAnOperator(signer);
    }

    /// @dev As `_operatorOf`, and as there keys that were replaced or left still count. The keys are found through the
    ///      router, so its guardian can stop this kind of evidence, too.
    function _signersOf(Claim memory claim, BlsSigned calldata signed)
        private
        view
        returns (address[] memory signers)
    {
        bytes32 digest = COPROCESSOR.computeClaimDigest(claim);
        if (signed.keys.length == 0) {
            signers = new address[](1);
            signers[0] = _operatorOf(digest, signed.signature);
            return signers;
        }
        IBlsKeys keys = BlsQuorumVerifier(address(ROUTER.resolve(EvidenceKind.QUORUM, QUORUM_BLS))).KEYS();
        return keys.signersOf(digest, signed.keys, signed.signature);
    }

    function _isAmong(address wanted, address[] memory list) private pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }

    function _slash(Claim memory signed, address operator, bytes32 otherOutputDigest, address challenger)
        private
        returns (bool isSlashed)
    {
        uint256 stakeWei = OPERATORS.stakeOf(operator);
        if (stakeWei == 0 || wasSlashed[signed.requestId][operator]) return false;
        // Of less than the least stake a lie is not paid: who has itself slashed of dust beforehand still owes it.
        if (stakeWei >= OPERATORS.MIN_STAKE_WEI()) wasSlashed[signed.requestId][operator] = true;
        uint256 rewardWei = stakeWei / REWARD_DIVISOR;
        uint256 burntWei = stakeWei - rewardWei;
        emit LieProven(
            signed.requestId, operator, challenger, signed.outputDigest, otherOutputDigest, rewardWei, burntWei
        );
        // An audit that nobody opened has nobody for its challenger. Its half is owed to this contract, which takes
        // nothing out: the registry counts a slashing by what it gives to others than BURNT.
        OPERATORS.slash(operator, rewardWei, challenger == BURNT ? address(this) : challenger);
        OPERATORS.slash(operator, burntWei, BURNT);
        return true;
    }
}
