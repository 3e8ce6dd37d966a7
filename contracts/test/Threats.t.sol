// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {IEnclaveRegistry} from "../src/interfaces/IEnclaveRegistry.sol";
import {IFraudProofs} from "../src/interfaces/IFraudProofs.sol";
import {IOperatorRegistry} from "../src/interfaces/IOperatorRegistry.sol";
import {IVerifierRouter} from "../src/interfaces/IVerifierRouter.sol";
import {Claim, Evidence, Request, Status} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {EnclaveDeployment} from "./EnclaveDeployment.sol";
import {Vm, vm} from "./Vm.sol";

/// @dev Says that it signed, and as much as its gas can pay for behind that.
contract WordyWallet {
    uint256 private immutable SIZE;

    constructor(uint256 size) {
        SIZE = size;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 size = SIZE;
        assembly {
            mstore(0, shl(224, 0x1626ba7e))
            return(0, size)
        }
    }
}

/// @dev Delivers in somebody's name, so that the transaction's calldata shows nothing.
contract Courier {
    function carry(
        ICoprocessor coprocessor,
        Request calldata asked,
        bytes calldata signature,
        bytes calldata input,
        bytes calldata output,
        Evidence[] calldata evidence
    ) external {
        coprocessor.deliverSigned(asked, signature, input, output, evidence);
    }
}

/// @title Attacks of docs/threats.md that belong to no single contract, and what is left of some
/// @notice A test named `Known` shows what an attacker can do; the page says why that is borne. The others fail.
contract ThreatsTest is Deployment {
    bytes private constant INPUT = "x";
    bytes private constant OUTPUT = "the truth";
    bytes private constant LIE = "a lie";
    address private constant CHALLENGER = address(0xC4A11);
    address private constant THIEF = address(0xBAD);
    uint256 private constant KEY = uint256(keccak256("a requester"));
    uint256 private constant START = 1_700_000_000;

    function setUp() public override {
        super.setUp();
        truth.learn(modelId, INPUT, OUTPUT);
    }

    // ---- stake --------------------------------------------------------------------------------------------------

    /// @dev Who begins to leave in the second of its lie still has the stake when the longest window there is ends.
    function test_AStakeOutlivesTheLongestWindow() public {
        uint32 windowSeconds = coprocessor.MAX_WINDOW_SECONDS();
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, windowSeconds), 11, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        for (uint256 i; i < 2; ++i) {
            vm.prank(operatorAt(i));
            operators.beginExit();
        }
        vm.warp(START + windowSeconds - 1);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(IOperatorRegistry.ExitNotDue.selector);
        operators.withdrawStake(payable(operatorAt(0)));
        coprocessor.challenge(asked, INPUT, OUTPUT, proofOf(asked, OUTPUT, CHALLENGER));
        vm.assertEq(proveWrong(asked, 2), 2);
        vm.assertEq(operators.owedTo(CHALLENGER), 1 ether);
        vm.warp(START + UNBONDING_SECONDS);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(operatorAt(0)));
        vm.assertEq(operatorAt(0).balance, 0);
    }

    /// @dev What was signed before leaving counts for nothing afterwards, so nobody answers with no stake behind it.
    function test_ASignatureKeptBackUntilTheStakeIsOutDeliversNothing() public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(1, 0), 11, 0);
        asked.deadline += uint64(UNBONDING_SECONDS) + 1 hours;
        vm.deal(address(this), 11);
        coprocessor.request{value: 11}(modelId, INPUT, asked.policy, 0, asked.deadline, REFUND_TO);
        asked.requester = address(this);
        asked.nonce += 1;
        Evidence[] memory evidence = evidenceOf(asked, LIE, 1);
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.expectPartialRevert(IOperatorRegistry.OperatorInactive.selector);
        coprocessor.deliver(asked, INPUT, LIE, evidence);
        vm.warp(START + UNBONDING_SECONDS);
        vm.prank(operatorAt(0));
        operators.withdrawStake(payable(operatorAt(0)));
        vm.expectPartialRevert(IOperatorRegistry.OperatorInactive.selector);
        coprocessor.deliver(asked, INPUT, LIE, evidence);
    }

    // ---- who sees a transaction waiting -------------------------------------------------------------------------

    /// @dev Two signatures are bound to nobody. A copy takes the reward, and saves the liar nothing.
    function test_KnownWhoCopiesTwoSignaturesTakesTheRewardAndTheLiarPaysAllTheSame() public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 11, 0);
        bytes memory one = signDigest(keyOf(0), claimDigestOf(asked, OUTPUT));
        bytes memory another = signDigest(keyOf(0), claimDigestOf(asked, LIE));
        (Claim memory first, Claim memory second) = (claimOf(asked, OUTPUT), claimOf(asked, LIE));
        vm.prank(THIEF);
        frauds.proveEquivocation(first, one, second, another);
        vm.assertEq(operators.stakeOf(operatorAt(0)), 0);
        vm.assertEq(operators.owedTo(THIEF), 0.5 ether);
        vm.prank(CHALLENGER);
        vm.expectPartialRevert(IFraudProofs.NobodySlashed.selector);
        frauds.proveEquivocation(first, one, second, another);
    }

    /// @dev Who copies a delivery may leave out signers beyond k, and so choose among those who signed. Nobody else is
    ///      paid, and the answer is the same.
    function test_KnownWhoCopiesADeliveryLeavesOutSignersBeyondTheQuorum() public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 0), 10, 0);
        Evidence[] memory all = evidenceOf(asked, OUTPUT, 4);
        Evidence[] memory fewer = asEvidence(quorumData(asked, OUTPUT, 2, 2));
        Evidence[] memory tooFew = asEvidence(quorumData(asked, OUTPUT, 3, 1));
        vm.expectRevert();
        vm.prank(THIEF);
        coprocessor.deliver(asked, INPUT, OUTPUT, tooFew);
        vm.prank(THIEF);
        coprocessor.deliver(asked, INPUT, OUTPUT, fewer);
        vm.expectPartialRevert(ICoprocessor.AlreadyDelivered.selector);
        coprocessor.deliver(asked, INPUT, OUTPUT, all);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)) + coprocessor.balanceOf(THIEF), 0);
        vm.assertEq(coprocessor.balanceOf(operatorAt(2)) + coprocessor.balanceOf(operatorAt(3)), 10);
    }

    /// @dev Never both possible: whoever sees the one waiting cannot turn it into the other.
    function testFuzz_ADeliveryAndARefundAreNeverBothPossible(uint64 moment) public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(1, 0), 10, 0);
        vm.warp(START + moment % 2 hours);
        bool isLate = block.timestamp > asked.deadline;
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 1);
        if (isLate) vm.expectPartialRevert(ICoprocessor.Expired.selector);
        else vm.expectPartialRevert(ICoprocessor.NotExpired.selector);
        if (isLate) coprocessor.deliver(asked, INPUT, OUTPUT, evidence);
        else coprocessor.refund(asked);
        if (isLate) coprocessor.refund(asked);
        else coprocessor.deliver(asked, INPUT, OUTPUT, evidence);
    }

    // ---- wallets ------------------------------------------------------------------------------------------------

    /// @dev As many bytes as a wallet's gas pays for behind its word are not copied by who asks it.
    function test_AWalletsReturnBombIsNotCopied() public {
        uint256 usedGas = gasOfSigned(address(new WordyWallet(250_000)));
        uint256 shortGas = gasOfSigned(address(new WordyWallet(32)));
        vm.assertLe(usedGas, shortGas + 400_000, "the coprocessor paid for the bomb");
    }

    // ---- other chains, other contracts --------------------------------------------------------------------------

    /// @dev A possession is of one chain: a key cannot be seated elsewhere by who saw it registered here.
    function test_APossessionOfAnotherChainIsNone() public {
        uint256 key = uint256(keccak256("new key"));
        address signer = vm.addr(key);
        bytes memory possession = signDigest(key, operators.computePossessionDigest(address(this), signer));
        vm.deal(address(this), MIN_STAKE_WEI);
        vm.chainId(4);
        vm.expectPartialRevert(IOperatorRegistry.BadPossession.selector);
        operators.register{value: MIN_STAKE_WEI}(5, signer, possession);
        vm.chainId(31_337);
        operators.register{value: MIN_STAKE_WEI}(5, signer, possession);
    }

    /// @dev What an operator signs as one thing is never another: claims, requests and possessions of one key differ.
    function test_NoSignatureOfAKeyIsOneOfAnotherKind() public {
        Request memory asked = ask(vm.addr(keyOf(0)), INPUT, quorumPolicy(1, 0), 0, 0);
        bytes32[4] memory digests = [
            claimDigestOf(asked, OUTPUT),
            coprocessor.computeRequestId(asked),
            operators.computePossessionDigest(operatorAt(0), vm.addr(keyOf(0))),
            anchors.computeAnchorDigest(keccak256("log"), 1, keccak256("root"))
        ];
        for (uint256 i = 1; i < digests.length; ++i) {
            bytes memory data = bytes.concat(bytes32(uint256(1)), signDigest(keyOf(0), digests[i]));
            Evidence[] memory evidence = asEvidence(data);
            vm.expectRevert();
            coprocessor.deliver(asked, INPUT, OUTPUT, evidence);
        }
        coprocessor.deliver(asked, INPUT, OUTPUT, evidenceOf(asked, OUTPUT, 1));
    }

    // ---- what is left -------------------------------------------------------------------------------------------

    /// @dev A guardian in league with a quorum stops the proof verifier, and within the window nothing can be proven.
    function test_KnownAGuardianWhoStopsProofsOpensTheWindowToALie() public {
        Request memory asked = ask(address(0xA11CE), INPUT, quorumPolicy(2, 600), 11, 0);
        coprocessor.deliver(asked, INPUT, LIE, evidenceOf(asked, LIE, 2));
        vm.prank(GUARDIAN);
        router.stop(PROOF);
        Evidence memory evidence = proofOf(asked, OUTPUT, CHALLENGER);
        vm.expectPartialRevert(IVerifierRouter.SelectorStopped.selector);
        coprocessor.challenge(asked, INPUT, OUTPUT, evidence);
        vm.warp(START + 600);
        address[] memory paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
        coprocessor.finalize(asked, LIE, paid);
        // The stake is not safe with that: once the owner lets proofs be verified again, the liars are slashed.
        vm.prank(OWNER);
        router.resume(PROOF);
        vm.assertEq(proveWrong(asked, 2), 2);
    }

    /// @dev The Coprocessor is shown a signed question whose answer waits, but a contract that delivers shows it
    ///      to nobody else: it is in no event, and the transaction's calldata is the contract's own affair.
    function test_KnownAQuestionThatAContractDeliversIsInNoEvent() public {
        bytes memory question = "a question of more than thirty-two bytes, to be found anywhere";
        Request memory asked = nextRequest(vm.addr(KEY), question, quorumPolicy(2, 600), 0, 0);
        asked.nonce = 1 << 128;
        bytes memory signature = signDigest(KEY, coprocessor.computeRequestId(asked));
        Evidence[] memory evidence = evidenceOf(asked, LIE, 2);
        Courier courier = new Courier();
        vm.recordLogs();
        courier.carry(coprocessor, asked, signature, question, LIE, evidence);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 i; i < logs.length; ++i) {
            vm.assertTrue(!contains(logs[i].data, question), "the question is in an event: the page says it is not");
        }
        (Status status,,,) = coprocessor.statusOf(coprocessor.computeRequestId(asked));
        vm.assertTrue(status == Status.PENDING, "not delivered");
    }

    // ---- inside -------------------------------------------------------------------------------------------------

    function proveWrong(Request memory asked, uint256 count) private returns (uint256 slashed) {
        bytes[] memory signatures = new bytes[](count);
        for (uint256 i; i < count; ++i) {
            signatures[i] = signDigest(keyOf(i), claimDigestOf(asked, LIE));
        }
        return frauds.proveWrong(claimOf(asked, LIE), signatures, INPUT, OUTPUT, proofOf(asked, OUTPUT, CHALLENGER));
    }

    function gasOfSigned(address wallet) private returns (uint256 usedGas) {
        Request memory asked = nextRequest(wallet, INPUT, quorumPolicy(1, 0), 0, 0);
        asked.nonce = 1 << 128;
        Evidence[] memory evidence = evidenceOf(asked, OUTPUT, 1);
        usedGas = gasleft();
        coprocessor.deliverSigned(asked, "", INPUT, OUTPUT, evidence);
        usedGas -= gasleft();
    }

    function contains(bytes memory data, bytes memory part) private pure returns (bool) {
        bytes32 wanted = keccak256(part);
        for (uint256 place; place + part.length <= data.length; ++place) {
            bytes32 found;
            assembly ("memory-safe") {
                found := keccak256(add(add(data, 0x20), place), mload(part))
            }
            if (found == wanted) return true;
        }
        return false;
    }
}

/// @title What an enclave's key is worth when its operator has it, too
contract EnclaveThreatsTest is EnclaveDeployment {
    /// @dev The registry takes no signing key for an enclave's, but nobody asks it when a signing key is rotated to one
    ///      that it has. Its operator then signs once, and is a quorum of one and an enclave. Only who has the key in
    ///      his hands can do that, and he could sign twice as well.
    function test_KnownAnEnclavesKeyBecomesItsOperatorsSigningKey() public {
        IEnclaveRegistry.Attestation memory it = attest(0, TDX);
        register(it, signedByOthers(it));
        bytes32 digest = operators.computePossessionDigest(operatorAt(0), enclaveKey(0));
        vm.prank(operatorAt(0));
        operators.rotateSigner(enclaveKey(0), signDigest(enclaveSecret(0), digest));
        bytes32 policy = bytes32(bytes3(0x010102));
        Claim memory claim = Claim(keccak256("request"), modelId, keccak256("input"), keccak256("output"));
        bytes32 signed = coprocessor.computeClaimDigest(claim);
        bytes memory signature = signDigest(enclaveSecret(0), signed);
        enclave.verify(claim, signed, policy, "", "", signature);
        quorum.verify(claim, signed, policy, "", "", bytes.concat(bytes32(uint256(1)), signature));
    }
}
